import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../core/values/backoff.ts';
import { UmzugClusterError, messageOf } from '../../errors.ts';
import type { Overview, RunDetail, Unavailable } from './contract.ts';
import type { Look } from './reading.ts';

/** What a feed tells whoever watches it: a look at the database, or that it does not answer. */
export type News =
  | { readonly kind: 'look'; readonly look: Look }
  | { readonly kind: 'unavailable'; readonly unavailable: Unavailable };

/** Somebody who watches: `run` is what besides the overview, an id or a name; null: nothing. */
export interface Watcher {
  readonly run: string | null;
  readonly tell: (news: News) => void;
}

const everyMs = 1_000;
// Whoever opens another run should not wait for the next look; nor can anybody make it look all the time.
const soonMs = 50;

/**
 * Looks at one database once a second for all who watch, however many they are, and not at all when nobody does. One
 * that does not answer is asked again, more and more rarely.
 */
export class Feed {
  readonly #look: (asked: readonly string[]) => Promise<Look>;
  readonly #watchers = new Set<Watcher>();
  #last: { readonly look: Look; readonly beganAt: number } | null = null;
  /** What was looked at before is old. */
  #changedAt = -Infinity;
  #unavailable: Unavailable | null = null;
  #failures = 0;
  #hurry = new AbortController();
  #looking: Promise<void> | null = null;

  constructor(look: (asked: readonly string[]) => Promise<Look>) {
    this.#look = look;
  }

  /** Tells a watcher of every look, and at once of one that is not old; until what this returns is called. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    const freshSince = Math.max(this.#changedAt, performance.now() - everyMs);
    const isFresh = this.#last !== null && this.#last.beganAt >= freshSince;
    const isKnown = watcher.run === null || this.#last?.look.details.has(watcher.run) === true;
    if (this.#unavailable !== null) watcher.tell({ kind: 'unavailable', unavailable: this.#unavailable });
    else if (isFresh && isKnown && this.#last !== null) watcher.tell({ kind: 'look', look: this.#last.look });
    else this.#hurry.abort();
    this.#looking ??= this.#lookOn();
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#hurry.abort();
    };
  }

  /** Something was changed just now: everybody is to see it soon. */
  changed(): void {
    this.#changedAt = performance.now();
    this.#hurry.abort();
  }

  /** One look, which may be that of somebody else. */
  once(run: string | null): Promise<News> {
    return new Promise((resolve) => {
      let stop: (() => void) | null = null;
      let isTold = false;
      const tell = (news: News): void => {
        isTold = true;
        resolve(news);
        stop?.();
      };
      stop = this.watch({ run, tell });
      if (isTold) stop();
    });
  }

  /** A call to the database is made again, and nobody knows yet whether it will succeed. */
  trouble(what: string): void {
    // Whoever asks later looks again.
    if (this.#watchers.size > 0) this.#fail(what, null);
  }

  /** Settles when nobody is told of anything any more. */
  async idle(): Promise<void> {
    await this.#looking;
  }

  async #lookOn(): Promise<void> {
    while (this.#watchers.size > 0) {
      this.#hurry = new AbortController();
      const beganAt = performance.now();
      await this.#lookOnce(beganAt);
      const since = performance.now() - beganAt;
      // A server for which this is much work has as much time without it.
      const pauseMs = Math.max(everyMs - since, since);
      const waitMs = this.#failures > 0 ? backoffMs(this.#failures + 4, Math.random) : pauseMs;
      await sleep(Math.max(0, waitMs), undefined, { signal: this.#hurry.signal }).catch(() => undefined);
      if (this.#watchers.size > 0) await sleep(Math.max(0, soonMs - (performance.now() - beganAt)));
    }
    this.#looking = null;
    // What was wrong when nobody looked any more says nothing later.
    this.#unavailable = null;
    this.#failures = 0;
  }

  async #lookOnce(beganAt: number): Promise<void> {
    const asked = [...new Set([...this.#watchers].flatMap(({ run }) => run ?? []))];
    try {
      const look = sharing(this.#last?.look ?? null, await this.#look(asked));
      this.#last = { look, beganAt };
      this.#failures = 0;
      this.#unavailable = null;
      for (const { run, tell } of this.#watchers) {
        const isAsked = run === null || look.details.has(run);
        if (isAsked && beganAt >= this.#changedAt) tell({ kind: 'look', look });
      }
    } catch (error) {
      this.#failures += 1;
      this.#fail(messageOf(error), (error instanceof UmzugClusterError ? error.hint : null) ?? null);
    }
  }

  #fail(error: string, hint: string | null): void {
    const unavailable = { error, hint, since: this.#unavailable?.since ?? Date.now() };
    this.#unavailable = unavailable;
    for (const { tell } of this.#watchers) tell({ kind: 'unavailable', unavailable });
  }
}

/** A look in which what has not changed is the same object as in the one before. */
function sharing(before: Look | null, look: Look): Look {
  if (before === null) return look;
  const migrations = shared(before.overview.migrations, look.overview.migrations, (row) => row.name);
  const details = [...look.details].map(([id, detail]) => {
    const ranges = shared(before.details.get(id)?.ranges ?? [], detail?.ranges ?? [], (range) => range.no);
    return [id, detail && { ...detail, ranges }] as const;
  });
  return { ...look, overview: { ...look.overview, migrations }, details: new Map(details) };
}

function shared<T>(before: readonly T[], now: readonly T[], keyOf: (one: T) => unknown): readonly T[] {
  const known = new Map(before.map((one) => [keyOf(one), one]));
  return now.map((one) => {
    const old = known.get(keyOf(one));
    return old !== undefined && JSON.stringify(old) === JSON.stringify(one) ? old : one;
  });
}

/** What is sent to a page that has been sent `before`: all of it, or what is new. */
export type Sent =
  | { readonly event: 'overview'; readonly data: Overview }
  | { readonly event: 'run'; readonly data: RunDetail }
  | { readonly event: 'change'; readonly data: Overview | RunDetail };

/** The event of an overview, for a page that has this one. */
export function overviewEvent(before: Overview | null, now: Overview): Sent {
  const names = ({ migrations }: Overview): string => JSON.stringify(migrations.map(({ name }) => name));
  if (before === null || names(before) !== names(now)) return { event: 'overview', data: now };
  const known = new Set(before.migrations);
  return {
    event: 'change',
    data: { ...now, migrations: now.migrations.filter((row) => !known.has(row)) },
  };
}

/** The event of a run, for a page that has this one. */
export function runEvent(before: RunDetail | null, now: RunDetail): Sent {
  const isOther = before === null || before.row.runId !== now.row.runId;
  const kept = new Set(now.ranges.map(({ no }) => no));
  if (isOther || before.ranges.some(({ no }) => !kept.has(no))) return { event: 'run', data: now };
  const known = new Set(before.ranges);
  const last = before.points.at(-1)?.[0] ?? 0;
  const ranges = now.ranges.filter((range) => !known.has(range));
  return { event: 'change', data: { ...now, ranges, points: now.points.filter(([at]) => at > last) } };
}
