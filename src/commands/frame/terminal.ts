import { formatBlock, formatProgress } from '../../core/progress/progress-text.ts';
import type { Progress } from '../../core/progress/progress.ts';
import { type Drawing, nothingDrawn, redraw } from '../../core/progress/redraw.ts';
import type { Output } from '../../config/config.ts';
import type { Logger } from '../../logger.ts';
import type { Screen } from './output.ts';

/** Shows what a run tells. */
export interface ProgressView {
  show(progress: Progress): void;
  /** Leaves stderr as a plain place to write to. */
  close(): void;
}

/** A terminal with one redrawn block per running migration at its end, on stderr. */
export interface Terminal extends ProgressView {
  /** Writes whole lines above the drawing. */
  write(text: string): void;
}

// Faster than the eye reads; every redraw is a system call.
const redrawMs = 100;
// A log that is read afterwards wants few lines; a watchdog wants them more often than every minute.
/** How often a log is told of progress. */
export const logEveryMs = 10_000;

/** Lines at the end of a terminal that are drawn again and again. */
export interface LiveLines {
  /** Draws them again, at the latest after a while. `isNews`: at once. */
  changed(isNews: boolean): void;
  write(text: string): void;
  close(): void;
}

/** Draws what `lines` says, at most so many as the terminal has, below what is written. */
export function openLines(
  screen: Screen,
  lines: (columns: number) => readonly string[],
  now: () => number = Date.now,
): LiveLines {
  let drawn: Drawing = nothingDrawn;
  let drawnAt = -Infinity;
  const draw = (above: string): void => {
    // What is taller than the terminal could not be drawn over.
    const shown = lines(columnsOf(screen)).slice(-Math.max(1, (screen.rows || 24) - 1));
    const columns = screen.columns || 80;
    screen.write(redraw(drawn, shown, columns, above));
    drawn = { lines: shown, columns };
    drawnAt = now();
  };
  const onResize = (): void => {
    if (drawn.lines.length > 0) draw('');
  };
  screen.on('resize', onResize);
  return {
    changed: (isNews) => {
      if (isNews || now() - drawnAt >= redrawMs) draw('');
    },
    write: draw,
    close: () => {
      screen.off('resize', onResize);
      drawn = nothingDrawn;
    },
  };
}

/** Draws one block per running migration at the end of the terminal; `color` as the configuration decided. */
export function openTerminal(
  output: Pick<Output, 'color'>,
  screen: Screen,
  now: () => number = Date.now,
): Terminal {
  const latest = new Map<string, Progress>();
  const live = openLines(
    screen,
    (columns) => [...latest.values()].flatMap((progress) => formatBlock(progress, columns, output.color)),
    now,
  );
  return {
    show: (progress) => {
      const isNew = !latest.has(progress.migration);
      if (!isDone(progress)) {
        latest.set(progress.migration, progress);
        live.changed(isNew);
      } else if (latest.delete(progress.migration)) {
        // What is done is reported by the log and the summary.
        live.changed(true);
      }
    },
    write: live.write,
    close: () => {
      if (latest.size > 0) live.changed(true);
      latest.clear();
      live.close();
    },
  };
}

/** One column stays free: some terminals wrap a line that fills them. */
function columnsOf({ columns }: Screen): number {
  return Math.max(20, (columns || 80) - 1);
}

function isDone({ fraction }: Progress): boolean {
  return fraction !== null && fraction >= 1;
}

/** Logs `run.progress` at the start of each migration, when what it waits for changes, and every 10 s. */
export function openProgressLog(logger: Logger): ProgressView {
  const latest = new Map<string, Progress>();
  const log = (progress: Progress): void =>
    logger.info({ event: 'run.progress', ...progress }, formatProgress(progress));
  const timer = setInterval(() => {
    for (const progress of latest.values()) if (!isDone(progress)) log(progress);
  }, logEveryMs);
  timer.unref();
  return {
    show: (progress) => {
      const before = latest.get(progress.migration);
      latest.set(progress.migration, progress);
      if (before === undefined || reasonOf(before) !== reasonOf(progress)) log(progress);
    },
    close: () => clearInterval(timer),
  };
}

/** "transaction of pid 99, 8 s old" grows older every second; that alone is no news. */
function reasonOf({ waiting, throttledBy }: Progress): string {
  return `${(waiting ?? '').replace(/\d+(?= (?:ms|s)\b)/g, '')} ${throttledBy ?? ''}`;
}
