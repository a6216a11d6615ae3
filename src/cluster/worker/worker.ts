import type { LaneWaits } from '../../core/size/lanes.ts';
import { UmzugClusterError, messageOf } from '../../errors.ts';
import { reportUnhandled } from '../../migration/handle/unhandled-errors.ts';
import { ThrottleGate } from '../../throttle/gate.ts';
import { flushTraces } from '../../telemetry/trace.ts';
import { hushDeprecations } from '../process/own-process.ts';
import { endWithoutAWord, wasBlocked, watchProcess } from '../process/process-watch.ts';
import { type Job, type SentError, type ToPrimary, type ToWorker, workerExit } from './protocol.ts';

/**
 * The entry of a worker process: takes jobs from the primary, works on the ledger's run, reports. Signals
 * of the terminal reach it too; it ignores them and waits for the primary's word.
 */

// The primary waits a second for it to leave.
const flushMs = 500;

const drain = new AbortController();
const abort = new AbortController();
const throttle = new ThrottleGate();
let waits: LaneWaits | null = null;

function send(message: ToPrimary): void {
  if (process.connected) process.send?.(message);
}

async function work(job: Job): Promise<void> {
  const { work: workOn } = await loading;
  const [drained, aborted] = [drain.signal, abort.signal];
  await workOn(job, { drain: drained, abort: aborted, waits: () => waits, throttle, send });
}

function sentError(error: unknown): SentError {
  if (!(error instanceof UmzugClusterError)) return { code: 'INTERNAL', message: messageOf(error) };
  const { code, message, detail, hint } = error;
  return { code, message, detail, hint };
}

function listen(message: ToWorker): void {
  switch (message.type) {
    case 'work':
      work(message.job).then(
        () => send({ type: 'finished' }),
        (error: unknown) => send({ type: 'failed', error: sentError(error) }),
      );
      return;
    case 'drain':
      drain.abort();
      return;
    case 'abort':
      drain.abort();
      abort.abort();
      return;
    case 'waits':
      waits = message.waits;
      return;
    case 'throttle':
      throttle.set(message.ruling);
      return;
    case 'leave':
      void flushTraces(flushMs).then(() => process.disconnect());
  }
}

hushDeprecations();
// The primary writes them too, in the form that was asked for.
process.removeAllListeners('warning');
process.on('warning', ({ name, message }) => {
  send({ type: 'log', level: 'warn', record: { event: 'node.warned', name }, message });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// They are the command's, whose reader may go away: what author code wrote is no reason to stop a run half-way.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.on('message', listen);
process.on('disconnect', () => process.exit(0));
// While the primary is there, nobody but author code ends a worker, whatever code it chose.
process.on('exit', () => {
  if (!process.connected) return;
  if (wasBlocked()) endWithoutAWord();
  process.exit(wasBlocked() ? workerExit.blocked : workerExit.byAuthor);
});
// Also rejections that nobody awaits: author code runs here.
process.on('uncaughtException', (error) => {
  if (!reportUnhandled(error)) send({ type: 'failed', error: sentError(error) });
});
watchProcess({ parent: process.ppid });
send({ type: 'hello' });
// Loaded while the hello is on its way: a primary that computes hears it up to a chunk's computing later.
const loading = import('./worker-job.ts');
