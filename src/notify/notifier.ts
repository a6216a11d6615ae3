import type { NotifyConfig, NotifyTarget } from '../config/notify.ts';
import type { Progress } from '../core/progress/progress.ts';
import { RunWatch } from '../core/progress/run-watch.ts';
import { type Happening, notifyEventOf } from './happening.ts';
import { Mailbox, type Undelivered } from './mailbox.ts';
import { notificationOf } from './notification.ts';

// Whoever waits for the end of a command, waits for this too.
const endMs = 3_000;
const stoppedMs = 1_000;

/** Tells the targets of the knexfile what happens, beside the work, and whoever made it what could not be delivered. */
export class Notifier {
  readonly #config: NotifyConfig;
  readonly #database: string;
  readonly #undelivered: (undelivered: Undelivered) => void;
  readonly #boxes = new Map<NotifyTarget, Mailbox>();
  #progress: Progress | null = null;
  #watch: RunWatch;
  #waitMs = endMs;
  #cut: (() => void) | null = null;

  constructor(config: NotifyConfig, database: string, undelivered: (undelivered: Undelivered) => void) {
    this.#config = config;
    this.#database = database;
    this.#undelivered = undelivered;
    this.#watch = new RunWatch(config.throttledAfterMs);
  }

  readonly tell = (happening: Happening): void => {
    const event = notifyEventOf(happening);
    const targets = event === null ? [] : (this.#config.targets[event] ?? []);
    if (event === null || targets.length === 0) return;
    const about = { database: this.#database, progress: this.#progress };
    const notification = notificationOf(event, happening, about);
    for (const target of targets) this.#boxOf(target).add(notification);
  };

  /** Takes a reading of the run. `held`: what holds it back; null also where another host is to tell of it. */
  progress(
    progress: Progress,
    runId: string,
    { held, isTeller }: { held: string | null; isTeller: boolean },
  ): void {
    // Every attempt is watched from its own beginning.
    if ((this.#progress?.elapsedMs ?? Infinity) > progress.elapsedMs) {
      this.#watch = new RunWatch(this.#config.throttledAfterMs);
    }
    this.#progress = progress;
    const { migration, direction } = progress;
    for (const { event, ...detail } of this.#watch.see({ ...progress, held })) {
      if (isTeller) this.tell({ event, migration, direction, runId, detail });
    }
  }

  /** The command is asked to stop: less time is left for what is still to be delivered, and none at its end. */
  hurry(how: 'drain' | 'abort'): void {
    this.#waitMs = how === 'abort' ? 0 : stoppedMs;
    this.#cut?.();
  }

  /** Waits a little for what is still to be delivered, then abandons it. */
  async end(): Promise<void> {
    const boxes = [...this.#boxes.values()];
    const finished = Promise.all(boxes.map((box) => box.finish()));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      this.#cut = resolve;
      timer = setTimeout(resolve, this.#waitMs);
    });
    await Promise.race([finished, late]);
    clearTimeout(timer);
    await Promise.all(boxes.map((box) => box.close()));
  }

  #boxOf(target: NotifyTarget): Mailbox {
    const box = this.#boxes.get(target) ?? new Mailbox(target, this.#undelivered);
    this.#boxes.set(target, box);
    return box;
  }
}
