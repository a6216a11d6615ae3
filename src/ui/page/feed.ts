import type { Choice, Overview, Refused, RunDetail, Unavailable } from '../api/contract.ts';
import { useEffect, useState } from './preact.js';
import { type Route, apiOf } from './screen.ts';

/** What the page knows, and since when. */
export interface Feed {
  /** The targets, where there are several and none is chosen. */
  readonly choice: Choice | null;
  readonly overview: Overview | null;
  readonly detail: RunDetail | null;
  /** `locked`: the server asks for a token. `unknown`: there is no such run. */
  readonly access: 'open' | 'locked' | 'unknown';
  /** Why what is shown is not that of this moment, as a sentence, and what to do. */
  readonly trouble: Refused | null;
  /** When what is shown came, by this browser's clock; null: there is nothing. */
  readonly heardAt: number | null;
}

const nothing: Feed = {
  choice: null,
  overview: null,
  detail: null,
  access: 'open',
  trouble: null,
  heardAt: null,
};

// A server that starts again is there within a second or two.
const retryMs = 1_000;
// The server tells something once a second; one that is silent for so long is asked whether it is there.
const silentMs = 5_000;

const gone: Refused = { error: 'The server is gone; reconnecting.', hint: null };

/** Follows the targets, the overview or one run, from the time that it is shown until it is not. */
export function useFeed(
  target: string | null,
  run: string | null,
): { readonly feed: Feed; readonly reconnect: () => void } {
  const [feed, setFeed] = useState<Feed>(nothing);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => setFeed(nothing), [target]);
  useEffect(() => {
    setFeed((before) => ({ ...before, detail: null, access: 'open' }));
    return follow({ target, run }, setFeed);
  }, [target, run, attempt]);
  return { feed, reconnect: () => setAttempt((before) => before + 1) };
}

type Change = (before: Feed) => Partial<Feed>;

/** Returns what ends it. A connection that broke is made again, by asking first: an EventSource does not say why. */
function follow(route: Route, set: (change: (before: Feed) => Feed) => void): () => void {
  let source: EventSource | null = null;
  let timer = 0;
  let hasEnded = false;
  const apply = (change: Change): void => {
    if (!hasEnded) set((before) => ({ ...before, ...change(before) }));
  };
  const askIn = (ms: number): void => {
    clearTimeout(timer);
    if (!hasEnded) timer = setTimeout(() => void connect(), ms);
  };
  const connect = async (): Promise<void> => {
    source?.close();
    const { change, next } = await ask(route);
    apply(() => change);
    if (hasEnded || next === 'stop') return;
    if (next === 'again') return askIn(retryMs);
    if (next === 'later') return askIn(silentMs);
    askIn(silentMs);
    source = listen(route, (change) => {
      apply(change);
      askIn(silentMs);
    });
    source.addEventListener('error', () => {
      source?.close();
      apply(() => ({ trouble: gone }));
      askIn(retryMs);
    });
  };
  void connect();
  return () => {
    hasEnded = true;
    source?.close();
    clearTimeout(timer);
  };
}

interface Asked {
  /** `later`: nothing tells of a choice by itself. */
  readonly next: 'listen' | 'again' | 'later' | 'stop';
  readonly change: Partial<Feed>;
}

/** Asks for the overview, which says who may do what, and whether a run exists, before anything is listened to. */
async function ask(route: Route): Promise<Asked> {
  const { run } = route;
  try {
    const response = await fetch(apiOf('overview', route));
    if (response.status === 401) return { next: 'stop', change: { access: 'locked', trouble: null } };
    if (!response.ok) return { next: 'again', change: { trouble: await refusalIn(response) } };
    const answer = (await response.json()) as Overview | Choice;
    if ('targets' in answer)
      return { next: 'later', change: { choice: answer, trouble: null, heardAt: performance.now() } };
    const overview = answer;
    const path = run === null ? null : apiOf(`runs/${encodeURIComponent(run)}`, route);
    if (path !== null && (await fetch(path, { method: 'HEAD' })).status === 404)
      return { next: 'stop', change: { overview, access: 'unknown', trouble: null } };
    return { next: 'listen', change: { overview } };
  } catch {
    return { next: 'again', change: { trouble: gone } };
  }
}

async function refusalIn(response: Response): Promise<Refused> {
  const { error, hint } = (await response
    .json()
    .catch(() => ({ error: response.statusText, hint: null }))) as Refused;
  return { error: response.status === 503 ? unavailable(error) : `The server cannot answer: ${error}`, hint };
}

function unavailable(why: string): string {
  return `The database is unavailable: ${why}`;
}

function listen(route: Route, apply: (change: Change) => void): EventSource {
  const { run } = route;
  const asked = run === null ? '' : `?run=${encodeURIComponent(run)}`;
  const source = new EventSource(apiOf(`events${asked}`, route));
  const on = (event: string, change: (news: never, before: Feed) => Partial<Feed>): void => {
    source.addEventListener(event, ({ data }: MessageEvent<string>) => {
      const news = JSON.parse(data) as never;
      apply((before) => change(news, before));
    });
  };
  const heard = (): Partial<Feed> => ({ trouble: null, heardAt: performance.now() });
  on('overview', (overview: Overview) => ({ ...heard(), overview }));
  on('run', (detail: RunDetail) => ({ ...heard(), detail }));
  on('change', (news: Overview & RunDetail, { overview, detail }) => ({
    ...heard(),
    ...(run === null ? { overview: mergeOverview(overview, news) } : { detail: mergeDetail(detail, news) }),
  }));
  on('unavailable', ({ error, hint }: Unavailable) => ({ trouble: { error: unavailable(error), hint } }));
  return source;
}

function mergeOverview(before: Overview | null, news: Overview): Overview {
  return { ...news, migrations: replaced(before?.migrations ?? [], news.migrations, ({ name }) => name) };
}

// As many as the server keeps.
const mostPoints = 2_000;

function mergeDetail(before: RunDetail | null, news: RunDetail): RunDetail {
  if (before === null) return news;
  const ranges = replaced(before.ranges, news.ranges, ({ no }) => no);
  return {
    ...news,
    // A new range may lie between old ones.
    ranges: news.ranges.length === 0 ? before.ranges : ranges.toSorted((one, other) => one.at - other.at),
    points: [...before.points, ...news.points].slice(-mostPoints),
  };
}

/** Puts what is new in the place of what it replaces, and behind the others where it replaces nothing. */
function replaced<T>(before: readonly T[], news: readonly T[], keyOf: (one: T) => unknown): T[] {
  const left = new Map(news.map((one) => [keyOf(one), one]));
  const kept = before.map((old) => {
    const key = keyOf(old);
    const found = left.get(key) ?? old;
    left.delete(key);
    return found;
  });
  return [...kept, ...left.values()];
}
