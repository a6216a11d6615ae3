import { formatDuration } from '../core/duration.ts';
import { formatProgress } from '../core/progress-line.ts';
import type { Progress } from '../core/progress.ts';
import type { Output } from '../config.ts';
import type { Logger } from '../logger.ts';

/** Shows what a run tells. */
export interface ProgressView {
  show(progress: Progress): void;
  /** Leaves stderr as a plain place to write to. */
  close(): void;
}

/** A terminal with one redrawn line per running migration at its end, on stderr. */
export interface Terminal extends ProgressView {
  /** Writes whole lines above the drawing. */
  write(text: string): void;
}

// Faster than the eye reads; every redraw is a system call.
const redrawMs = 100;
// A log that is read afterwards wants few lines; a watchdog wants them more often than every minute.
const logEveryMs = 10_000;

/** Draws on stderr; `color` as the configuration decided. */
export function openTerminal(output: Pick<Output, 'color'>): Terminal {
  const latest = new Map<string, Progress>();
  let drawnLines = 0;
  let drawnAt = 0;

  const erase = (): string => (drawnLines === 0 ? '' : `\u001b[${drawnLines}A\u001b[0J`);
  const draw = (above: string): void => {
    const columns = columnsOf();
    const lines = [...latest.values()].map((progress) => formatProgress(progress, columns, output.color));
    process.stderr.write(`${erase()}${above}${lines.map((line) => `${line}\n`).join('')}`);
    drawnLines = lines.length;
    drawnAt = Date.now();
  };

  /** What is done keeps its last line; the next migration draws below it. */
  const freezeFinished = (): void => {
    const running = [...latest.values()].filter((progress) => !isDone(progress));
    if (running.length === latest.size) return;
    const finished = [...latest.values()].filter(isDone);
    latest.clear();
    const columns = columnsOf();
    const lines = finished.map((progress) => `${formatProgress(progress, columns, output.color)}\n`);
    for (const progress of running) latest.set(progress.migration, progress);
    draw(lines.join(''));
  };

  return {
    show: (progress) => {
      const isNew = !latest.has(progress.migration);
      if (isNew) freezeFinished();
      latest.set(progress.migration, progress);
      if (isNew || isDone(progress) || Date.now() - drawnAt >= redrawMs) draw('');
    },
    write: draw,
    close: () => {
      if (latest.size > 0) draw('');
      latest.clear();
      drawnLines = 0;
    },
  };
}

/** One column stays free: some terminals wrap a line that fills them. */
function columnsOf(): number {
  return Math.max(20, (process.stderr.columns || 80) - 1);
}

function isDone({ fraction }: Progress): boolean {
  return fraction !== null && fraction >= 1;
}

/** Logs `run.progress` at the start of each migration, when what it waits for changes, and every 10 s. */
export function openProgressLog(logger: Logger): ProgressView {
  const latest = new Map<string, Progress>();
  const log = (progress: Progress): void =>
    logger.info({ event: 'run.progress', ...progress }, sentence(progress));
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
function reasonOf({ waiting }: Progress): string | null {
  return waiting === null ? null : waiting.replace(/\d+(?= (?:ms|s)\b)/g, '');
}

function sentence(progress: Progress): string {
  return `${formatProgress(progress, 400, false)}  ${formatDuration(progress.elapsedMs)}`;
}
