import { stripControls } from '../../core/errors/redact.ts';
import { formatProgress } from '../../core/progress/progress-text.ts';
import type { Progress } from '../../core/progress/progress.ts';
import { counted, grouped } from '../../core/values/numbers.ts';
import type { Logger } from '../../logger.ts';
import type { TargetEnd, Watching } from '../../targets/pool.ts';
import type { Screen } from './output.ts';
import { type ProgressView, logEveryMs, openLines } from './terminal.ts';

/** Shows how several targets stand. */
export interface TargetsView extends Watching {
  readonly begin: (targets: number) => void;
  /** For the migrations of one of them. */
  readonly of: (target: string) => ProgressView;
  readonly close: () => void;
}

/** How all of them stand: what runs, by name with its latest progress, and how many have ended. */
class Standing {
  readonly running = new Map<string, Progress | null>();
  total = 0;
  ended = 0;
  failed = 0;

  end({ target, state }: TargetEnd<unknown>): void {
    this.running.delete(target.name);
    this.ended += 1;
    if (state !== 'done') this.failed += 1;
  }

  /** `312 of 1,000 targets done, 1 failed or stopped, 4 at work` */
  get text(): string {
    const failed = this.failed === 0 ? '' : `, ${grouped(this.failed)} failed or stopped`;
    return `${grouped(this.ended - this.failed)} of ${counted(this.total, 'target')} done${failed}, ${grouped(this.running.size)} at work`;
  }
}

/** Draws a line for each target that is worked on, and one for all of them. */
export function openTargetsTerminal(
  screen: Screen,
): TargetsView & { readonly write: (text: string) => void } {
  const standing = new Standing();
  const live = openLines(screen, (columns) => {
    if (standing.running.size === 0) return [];
    const lines = [...standing.running].map(([target, progress]) =>
      progress === null ? target : `${target}: ${formatProgress(progress)}`,
    );
    return [...lines, standing.text].map((line) => [...stripControls(line)].slice(0, columns).join(''));
  });
  return {
    begin: (targets) => void (standing.total = targets),
    began: (target) => {
      standing.running.set(target, null);
      live.changed(false);
    },
    ended: (end) => {
      standing.end(end);
      live.changed(standing.running.size === 0);
    },
    of: (target) => ({
      show: (progress) => {
        if (standing.running.has(target)) standing.running.set(target, progress);
        live.changed(false);
      },
      close: () => undefined,
    }),
    write: live.write,
    close: () => {
      standing.running.clear();
      live.changed(true);
      live.close();
    },
  };
}

/** Logs how all of them stand every 10 s, and the migrations that run at that time. */
export function openTargetsLog(logger: Logger): TargetsView {
  const standing = new Standing();
  const log = (): void => {
    const { total: targets, ended, failed, running } = standing;
    if (running.size === 0) return;
    const record = {
      event: 'targets.progress',
      targets,
      ended,
      failed,
      running: [...running.keys()],
    } as const;
    logger.info(record, standing.text);
    for (const [target, progress] of running) {
      if (progress === null) continue;
      const text = `${target}: ${formatProgress(progress)}`;
      logger.info({ event: 'run.progress', target, ...progress }, text);
    }
  };
  const timer = setInterval(log, logEveryMs);
  timer.unref();
  return {
    begin: (targets) => void (standing.total = targets),
    began: (target) => void standing.running.set(target, null),
    ended: (end) => standing.end(end),
    of: (target) => ({
      show: (progress) => {
        if (standing.running.has(target)) standing.running.set(target, progress);
      },
      close: () => undefined,
    }),
    close: () => clearInterval(timer),
  };
}
