import { readFile } from 'node:fs/promises';
import { asked, signalOf } from '../core/throttle/answer.ts';
import { type Hours, isWithin } from '../core/throttle/hours.ts';
import type { Signal } from '../core/throttle/signal.ts';
import { messageOf } from '../errors.ts';
import { authorSearchPath, beginReadOnly, withTransaction } from '../postgres/transaction.ts';
import type { Ask, Source } from './source.ts';

// An SQL query and a function may cost more than a look at a file, and an endpoint is somebody else's.
const every = { file: 500, hours: 1_000, query: 1_000, check: 1_000, url: 2_000 } as const;

function source(
  name: keyof typeof every,
  read: (signal: AbortSignal) => Promise<Signal | null>,
  label: string = name,
): Source {
  const readAll = async (signal: AbortSignal): Promise<readonly Signal[]> => {
    const found = await read(signal);
    return found === null ? [] : [found];
  };
  return { name: label, isAsked: true, everyMs: every[name], read: readAll };
}

/** Holds a run outside the hours in which it may work. */
export function hoursSource(hours: Hours): Source {
  const read = (): Signal | null => {
    if (isWithin(hours, Date.now())) return null;
    return asked('hours', 'hold', `outside ${hours.text} (${hours.timeZone})`);
  };
  return source('hours', () => Promise.resolve(read()));
}

/** Holds a run while a file is there; what it contains is the reason. */
export function fileSource(file: string): Source {
  return source('file', async (signal) => {
    try {
      const text = await readFile(file, { encoding: 'utf8', signal });
      return text.trim() === '' ? asked('file', 'hold', `${file} exists`) : signalOf('file', text);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
      throw error;
    }
  });
}

// Of a page that somebody has named by mistake.
const longestBody = 10_000;

/** Asks an endpoint: an answer other than 2xx holds a run, and so does one that says `hold`. */
export function urlSource(url: URL): Source {
  // The path may be a secret.
  const name = `url (${url.host})`;
  return source(
    'url',
    async (signal) => {
      const response = await fetch(url, {
        signal,
        headers: { accept: 'application/json, text/plain' },
      }).catch((error: unknown) => {
        throw new Error(messageOf((error as { readonly cause?: unknown }).cause ?? error));
      });
      const body = (await response.text()).slice(0, longestBody);
      if (!response.ok) return asked(name, 'hold', `answered ${response.status}`);
      return saidBy(name, body.trim());
    },
    name,
  );
}

/** `hold: reason`, or JSON with the reason in `hold`; of another text nobody knows what it means. */
function saidBy(name: string, body: string): Signal | null {
  if (/^(?:slow|hold|abort)\b/i.test(body)) return signalOf(name, body);
  const said = parsed(body);
  for (const word of ['abort', 'hold', 'slow'] as const) {
    const reason = said[word];
    if (typeof reason === 'string' && reason !== '') return asked(name, word, reason);
    if (reason === true) return asked(name, word, '');
  }
  return null;
}

function parsed(body: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** Asks the database: the first column of the first row says what it comes to. Under the author's search path, and read only. */
export function querySource(
  sql: string,
  { ask, settings, searchPath }: { ask: Ask; settings: string; searchPath: readonly string[] | null },
): Source {
  return source('query', async () => {
    const rows = await ask((session) =>
      withTransaction(
        session,
        `${settings}; set local statement_timeout to '2s'`,
        async () => {
          await session.query(authorSearchPath(searchPath));
          // As an author's: it is one statement.
          return (await session.authorQuery(sql, [])).rows;
        },
        beginReadOnly,
      ),
    );
    return signalOf('query', Object.values(rows[0] ?? {})[0]);
  });
}

/** What the function of the knexfile is told. */
export interface CheckContext {
  readonly migration: string;
  /** Aborts when its answer is not awaited any more. */
  readonly signal: AbortSignal;
}

/** Asks the function of the knexfile. */
export function checkSource(check: (context: CheckContext) => unknown, migration: string): Source {
  return source('check', async (signal) => signalOf('check', await check({ migration, signal })));
}
