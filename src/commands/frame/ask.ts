import { createInterface } from 'node:readline/promises';
import { fail } from '../../errors.ts';
import type { Io } from './output.ts';

/** Whether somebody is at a terminal who can be asked. */
export function canAsk({ stdin, stderr }: Io): boolean {
  return stdin?.isTTY === true && stderr.isTTY === true;
}

/** Throws STOPPED unless the answer is yes. `verb`: what is asked for, and `done` its participle, as in revert and reverted. */
export async function requireYes(
  io: Io,
  question: string,
  [verb, done]: readonly [verb: string, done: string],
  signal?: AbortSignal,
): Promise<void> {
  if (await isYes(io, `${question} [y/N] `, signal)) return;
  throw fail('STOPPED', { message: `nothing was ${done}`, hint: `to ${verb} without a question: --yes` });
}

/** `y` or `yes`; everything else is no, the end of the input as well. Rejects with the signal's reason. */
async function isYes({ stdin, stderr }: Io, question: string, signal?: AbortSignal): Promise<boolean> {
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
