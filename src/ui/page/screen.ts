import { useEffect, useLayoutEffect, useState } from './preact.js';

/** What `useRef` returns for an element. */
export interface Held<T> {
  readonly current: T | null;
}

/** Milliseconds of `performance.now()`, once a second: by it the age of what is shown is told. */
export function useNow(): number {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** The width of an element in CSS pixels; 0 before it is shown. */
export function useWidth(element: Held<HTMLElement>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const { current } = element;
    if (current === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(current.clientWidth));
    observer.observe(current);
    setWidth(current.clientWidth);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** Changes with the theme: what is drawn on a canvas takes its colors from the style sheet at that time. */
export function useTheme(): 'light' | 'dark' {
  const query = matchMedia('(prefers-color-scheme: dark)');
  const [isDark, setIsDark] = useState(query.matches);
  useEffect(() => {
    const look = (): void => setIsDark(query.matches);
    query.addEventListener('change', look);
    return () => query.removeEventListener('change', look);
  }, []);
  return isDark ? 'dark' : 'light';
}

/** A color of the style sheet: `colorOf('--done')`. */
export function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** What the address names. */
export interface Route {
  /** The id of one of several targets; null: there is one database, or none is chosen yet. */
  readonly target: string | null;
  /** A run, or a migration; null: the overview. */
  readonly run: string | null;
}

/** What the address names, as it changes. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = (): void => setHash(location.hash);
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return routeOf(hash);
}

function routeOf(hash: string): Route {
  const [, target = null, run] = /^#\/(?:targets\/([^/]+)\/)?(?:runs\/(.+))?$/.exec(hash) ?? [];
  try {
    return { target, run: run === undefined ? null : decodeURIComponent(run) };
  } catch {
    return { target, run: null };
  }
}

/** Where a run, or a migration, of what the address names now is shown; null: all of them. */
export function addressOf(run: string | null): string {
  return addressIn(routeOf(location.hash).target, run);
}

/** The same in one of several targets. */
export function addressIn(target: string | null, run: string | null): string {
  const within = target === null ? '' : `targets/${target}/`;
  return `#/${within}${run === null ? '' : `runs/${encodeURIComponent(run)}`}`;
}

/** Where the server is asked about what the address names now. */
export function apiOf(place: string, { target }: Pick<Route, 'target'> = routeOf(location.hash)): string {
  return target === null ? `api/${place}` : `api/databases/${target}/${place}`;
}

/** How far an arrow key moves along something with `count` places; null: it is another key. */
export function steppedBy(key: string, at: number, count: number): number | null {
  const last = count - 1;
  const page = Math.max(10, Math.round(count / 20));
  const targets: Readonly<Record<string, number>> = {
    ArrowRight: at + 1,
    ArrowUp: at + 1,
    ArrowLeft: at - 1,
    ArrowDown: at - 1,
    PageUp: at + page,
    PageDown: at - page,
    Home: 0,
    End: last,
  };
  const target = targets[key];
  return target === undefined ? null : Math.min(last, Math.max(0, target));
}
