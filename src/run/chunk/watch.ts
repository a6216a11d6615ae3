import { fail } from '../../errors.ts';
import { accountFor } from '../../migration/handle/unhandled-errors.ts';
import type { Session } from '../../postgres/session.ts';
import { pulse } from '../context/loop-heartbeat.ts';

export interface ChunkWatch {
  /** What `update` gets as `context.signal`. */
  readonly signal: AbortSignal;
  /** Starts the clock. Before that the chunk waits for its connection, in a pooler's queue perhaps. */
  readonly opened: () => void;
  /** Settles with `work`, or rejects when the chunk is abandoned. */
  readonly race: <T>(work: Promise<T>) => Promise<T>;
  /** Why the chunk was given up, or null. */
  readonly reason: () => Error | null;
  readonly stop: () => void;
}

/** Abandons a chunk when it takes longer than the ceiling, or when a signal asks for it. */
export function watchChunk(
  session: Session,
  ceilingMs: number,
  request: { readonly no: number; readonly signal: AbortSignal },
): ChunkWatch {
  const controller = new AbortController();
  let reason: Error | null = null;
  let abort: (error: Error) => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = reject;
  });
  aborted.catch(() => undefined);
  const giveUpFor = (error: Error): void => {
    reason = error;
    // Author code that was given the signal rejects with it, also where nobody waits for it any more.
    accountFor(error);
    controller.abort(error);
    session.destroy(error);
    abort(error);
  };
  let timer: NodeJS.Timeout | undefined;
  const exceed = (): void => {
    const message = `the chunk of range ${request.no} exceeded ${ceilingMs / 1_000} s: update did not settle`;
    const hint =
      'make sure that every promise in update settles, or do less per chunk; see the setting ceilingMs';
    giveUpFor(fail('MIGRATION_FAILED', { message, hint }));
  };
  const onSignal = (): void => giveUpFor(fail('STOPPED', { message: 'stopped before the chunk was done' }));
  if (request.signal.aborted) onSignal();
  request.signal.addEventListener('abort', onSignal, { once: true });
  Atomics.add(pulse.openChunks, 0, 1);
  return {
    signal: controller.signal,
    opened: () => {
      timer = setTimeout(exceed, ceilingMs);
    },
    race: (work) => Promise.race([work, aborted]),
    reason: () => reason,
    stop: () => {
      clearTimeout(timer);
      Atomics.sub(pulse.openChunks, 0, 1);
      request.signal.removeEventListener('abort', onSignal);
    },
  };
}
