import { createInterface } from 'node:readline/promises';
import type { Io } from './output.ts';

/** Whether somebody is at a terminal who can be asked. */
export function canAsk({ stdin, stderr }: Io): boolean {
  return stdin?.isTTY === true && stderr.isTTY === true;
}

/** `y` or `yes`; everything else is no, the end of the input as well. Rejects with the signal's reason. */
export async function isYes({ stdin, stderr }: Io, question: string, signal?: AbortSignal): Promise<boolean> {
  if (stdin === undefined) return false;
  stderr.write(question);
  // Not as a terminal: Ctrl-C is to reach the process as a signal.
  const lines = createInterface({ input: stdin, terminal: false });
  try {
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    const asked = signal === undefined ? lines.question('') : lines.question('', { signal });
    const answer = await Promise.race([asked, ended]);
    return /^y(?:es)?$/i.test(answer.trim());
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error;
  } finally {
    lines.close();
  }
}
