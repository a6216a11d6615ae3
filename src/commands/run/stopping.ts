import { type UmzugClusterError, fail, stopCodes } from '../../errors.ts';
import type { Migrator } from '../../migrator/migrator.ts';

type Stop = Parameters<Migrator['stop']>;
type Signal = Exclude<Stop[0], 'deadline'>;

/** What signals stop: a migrator, or those of several targets. */
type Stoppable = Pick<Migrator, 'stop'>;

const signals: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Takes over the migrator once it is open, or throws if a signal came before; then no work may begin. */
export interface Stopping {
  attach(migrator: Stoppable, limits: { readonly maxTimeMs: number | null }): void;
  /** The time of `--max-time` is over. */
  readonly isOutOfTime: boolean;
}

/**
 * Does `work` while signals and the deadline stop it: the first signal drains, the second aborts; the
 * migrator itself aborts at the end of the grace. The time of `--max-time` counts from the start of the command.
 */
export async function withStopping<Result>(work: (stopping: Stopping) => Promise<Result>): Promise<Result> {
  const startedAt = Date.now();
  const timers: NodeJS.Timeout[] = [];
  let migrator: Stoppable | null = null;
  let signalsSeen = 0;
  let isOutOfTime = false;
  let stopped: UmzugClusterError | null = null;
  let giveUp: (error: UmzugClusterError) => void = () => undefined;
  const early = new Promise<never>((_resolve, reject) => (giveUp = reject));
  early.catch(() => undefined);

  const onSignal = (signal: Signal): void => {
    signalsSeen += 1;
    if (migrator === null) {
      const message = `stopped by ${signal} before any work started`;
      stopped ??= fail(stopCodes[signal], { message, hint: 'run the command again' });
      giveUp(stopped);
    } else {
      migrator.stop(signal, signalsSeen === 1 ? 'drain' : 'abort');
    }
  };

  for (const signal of signals) process.on(signal, onSignal);
  try {
    const stopping: Stopping = {
      attach: (opened, limits) => {
        if (stopped !== null) throw stopped;
        migrator = opened;
        if (limits.maxTimeMs === null) return;
        const left = Math.max(0, limits.maxTimeMs - (Date.now() - startedAt));
        const stop = (): void => {
          isOutOfTime = true;
          opened.stop('deadline', 'drain');
        };
        timers.push(setTimeout(stop, left));
      },
      get isOutOfTime() {
        return isOutOfTime;
      },
    };
    return await Promise.race([work(stopping), early]);
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    for (const timer of timers) clearTimeout(timer);
  }
}

/** Does `work` until a signal comes, for what serves until it is not needed any more: that is its end, and no failure. */
export async function untilStopped(work: (stopped: Promise<void>) => Promise<void>): Promise<void> {
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  for (const signal of signals) process.on(signal, stop);
  try {
    await work(stopped);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
