import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { Done, Overview, Refused, RunDetail } from '../../src/ui/api/contract.ts';

const built = pathToFileURL(path.resolve(import.meta.dirname, '../../dist/commands/main.js')).href;

/** A page that is served by the command in the test's own process. */
export interface Ui {
  /** With a slash at its end. */
  readonly url: string;
  readonly stdout: () => string;
  /** Sends SIGTERM to the command alone; its exit code. */
  stop(): Promise<number>;
  get(place: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  json<T>(place: string): Promise<T>;
  overview(): Promise<Overview>;
  run(id: string): Promise<RunDetail>;
  /** As the page posts. */
  post(place: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>;
  act(action: unknown, headers?: Readonly<Record<string, string>>): Promise<Done | Refused>;
}

/** Starts `ui` on a free port; it is stopped when the test ends. */
export async function startUi(
  cwd: string,
  env: NodeJS.ProcessEnv,
  args: readonly string[] = [],
): Promise<Ui> {
  const { main } = (await import(/* @vite-ignore */ built)) as typeof import('../../src/commands/main.ts');
  const before = new Set(process.listeners('SIGTERM'));
  let text = '';
  let printed: () => void = () => undefined;
  const isPrinted = new Promise<void>((resolve) => (printed = resolve));
  const stdout = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      printed();
      done();
    },
  });
  let said = '';
  const stderr = new Writable({
    write: (chunk, _encoding, done) => {
      said += String(chunk);
      done();
    },
  });
  const where = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const ended = main(['ui', ...where, ...args], { cwd, env, stdout, stderr });
  await Promise.race([isPrinted, ended]);
  if (text === '') throw new Error(said);
  const own = process.listeners('SIGTERM').filter((listener) => !before.has(listener));
  const stop = async (): Promise<number> => {
    for (const listener of own) listener('SIGTERM');
    return await ended;
  };
  onTestFinished(() => stop().then(() => undefined));
  const [url = '', token] = text.trim().split('#token=');
  const get: Ui['get'] = (place, headers = {}) => fetch(new URL(place, url), { headers, redirect: 'manual' });
  const json = async <T>(place: string): Promise<T> => (await (await get(place)).json()) as T;
  const post: Ui['post'] = (place, body, headers = {}) =>
    fetch(new URL(place, url), {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-umzug-cluster': '1',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      body: JSON.stringify(body),
    });
  return {
    url,
    stdout: () => text,
    stop,
    get,
    json,
    overview: () => json('api/overview'),
    run: (id) => json(`api/runs/${encodeURIComponent(id)}`),
    post,
    act: async (action, headers) =>
      (await (await post('api/actions', action, headers)).json()) as Done | Refused,
  };
}

/** An event of a page. */
export interface PageEvent {
  readonly event: string;
  readonly data: unknown;
}

/** Reads the events of a page until `isEnough` says so, and leaves. */
export async function readEvents(
  ui: Pick<Ui, 'url'>,
  place: string,
  isEnough: (events: readonly PageEvent[]) => boolean,
): Promise<readonly PageEvent[]> {
  const gone = new AbortController();
  const answer = await fetch(new URL(place, ui.url), { signal: gone.signal });
  const events: PageEvent[] = [];
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const parts = text.split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? [];
      events.push({ event, data: JSON.parse(data) });
    }
    if (isEnough(events)) break;
  }
  gone.abort();
  return events;
}
