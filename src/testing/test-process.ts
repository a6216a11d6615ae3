import { UmzugClusterError, messageOf } from '../errors.ts';
import { redact } from '../core/errors/redact.ts';
import { conduct } from './conduct.ts';
import type { FromConductor, ToConductor } from './contract/messages.ts';

/**
 * The process that makes the test; started by `client.cts`. The author's functions run in the test's process,
 * one at a time, migrations in processes of the command line. When the test's process is gone, so is all of this.
 */

const gone = new AbortController();
let answer: (error: string | null) => void = () => undefined;

process.on('disconnect', () => {
  gone.abort();
  answer('the test has ended');
});
process.on('message', (message: ToConductor) => {
  if (message.type === 'called') answer(message.error);
  else void start(message.request);
});

async function start(request: Extract<ToConductor, { type: 'start' }>['request']): Promise<void> {
  const call = (no: number, url: string): Promise<string | null> =>
    new Promise((resolve) => {
      answer = resolve;
      say({ type: 'call', no, url });
    });
  try {
    say({ type: 'report', report: await conduct(request, { call, signal: gone.signal }) });
  } catch (error) {
    say({ type: 'refused', ...refusalOf(error) });
  }
}

function refusalOf(error: unknown): { readonly code: string; readonly message: string } {
  if (!(error instanceof UmzugClusterError)) return { code: 'INTERNAL', message: redact(messageOf(error)) };
  const { code, message, detail, hint } = error;
  return { code, message: redact([message, detail, hint].filter((part) => part !== undefined).join('\n  ')) };
}

function say(message: FromConductor): void {
  if (process.connected) process.send?.(message);
}
