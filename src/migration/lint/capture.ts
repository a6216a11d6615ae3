import path from 'node:path';
import type { Knex } from 'knex';
import { chunkKnex } from '../handle/chunk-client.ts';
import type { QueryObject } from '../handle/driver.ts';
import { listenForStrays } from '../handle/unhandled-errors.ts';
import type { LoadedMigration } from '../file/loader.ts';
import { statementsOf } from '../sql/statements.ts';
import { skipNothing } from '../sql/sql-words.ts';

/** What a schema migration would send. */
export interface Captured {
  readonly statements: readonly {
    readonly sql: string;
    /** Of the file, from 1: where the statement is written, or built. */
    readonly line: number;
  }[];
  /** There are no others. */
  readonly isComplete: boolean;
}

const unknown: Captured = { statements: [], isComplete: false };

// Imports by which nothing can be changed: types, this package, and what a file of SQL is read with.
const harmless =
  /^[ \t]*import\s+type\b[^'"`;]*['"][^'"]*['"]|^[ \t]*import\s[^'"`;]*from\s*['"](?:umzug-cluster|(?:node:)?(?:path|url))['"]|^[ \t]*import\s*\{\s*(?:readFile(?:Sync)?\s*,?\s*)+\}\s*from\s*['"](?:node:)?fs(?:\/promises)?['"]|\bimport\.meta\.(?:url|dirname|filename)\b/gm;
const reaching =
  /\b(?:import|require|process|fetch|console|globalThis|global|eval|Function|WebSocket|EventSource|setTimeout|setInterval|setImmediate)\b/;

// What an `up` needs that only builds statements; one that waits for something else is not known.
const patienceMs = 2_000;
const mostStatements = 1_000;

/**
 * The statements of `up`, by calling it with a `db` that sends nothing. Where `up` could do anything but use `db`, it is
 * not called; where it reads what the database has answered, the rest is not known.
 */
export async function statementsSent(
  migration: Extract<LoadedMigration, { kind: 'schema' }>,
  source: string,
  knexConfig: Knex.Config,
): Promise<Captured> {
  if (reaching.test(source.replaceAll(harmless, ''))) return unknown;
  const recorder = new Recorder(migration, source);
  const { builder, built } = chunkKnex(knexConfig, recorder);
  const stopListening = listenForStrays(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, patienceMs, false);
  });
  const call = async (): Promise<boolean> => {
    await migration.up(builder);
    return built.forgotten() === null;
  };
  try {
    const isComplete = await Promise.race([call().catch(() => false), recorder.stopped, late]);
    return { statements: [...recorder.statements], isComplete };
  } finally {
    recorder.stop();
    stopListening();
    clearTimeout(timer);
  }
}

const never = new Promise<never>(() => undefined);

class Recorder {
  readonly transacting: boolean;
  readonly statements: { readonly sql: string; readonly line: number }[] = [];
  /** Resolves to false when the rest cannot be known. */
  readonly stopped: Promise<false>;
  readonly #file: RegExp;
  readonly #source: string;
  #resolve: (isComplete: false) => void = () => undefined;
  #isStopped = false;
  /** Of the builder whose statement comes next. */
  #line = 1;

  constructor(
    { path: file, transaction }: { readonly path: string; readonly transaction: boolean },
    source: string,
  ) {
    this.transacting = transaction;
    this.#source = source;
    const base = path.basename(file).replaceAll(/[^\w]/g, String.raw`\$&`);
    this.#file = new RegExp(String.raw`[\\/]${base}:(\d+):\d+`);
    this.stopped = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  check(): void {
    // What the server, or the guard, would refuse shows when the migration runs.
  }

  refuse(message: string): Error {
    this.stop();
    return new Error(message);
  }

  stop(): void {
    this.#isStopped = true;
    this.#resolve(false);
  }

  made(builder: object): void {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = mostFrames;
    const { stack = '' } = new Error('where');
    Error.stackTraceLimit = limit;
    const line = Number(this.#file.exec(stack)?.[1] ?? this.#line);
    const events = builder as Partial<Pick<NodeJS.EventEmitter, 'on'>>;
    events.on?.('query', () => void (this.#line = line));
  }

  async run(query: QueryObject): Promise<unknown> {
    if (this.#isStopped || this.statements.length >= mostStatements) {
      this.stop();
      return await never;
    }
    const { sql, bindings = [] } = query;
    for (const one of bindings.length > 0 ? [sql] : statementsOf(sql)) {
      this.statements.push({ sql: one, line: this.#placeOf(one) });
    }
    return this.#answer(query);
  }

  /** Where the text begins in the file; one that knex has made is not there, but was built somewhere. */
  #placeOf(sql: string): number {
    const [opening = ''] = sql.slice(skipNothing(sql, 0)).split('\n');
    const from = this.#source.split('\n', this.#line - 1).join('\n').length;
    const at = this.#source.indexOf(opening.trim(), from);
    return at === -1 ? this.#line : this.#source.slice(0, at).split('\n').length;
  }

  /** What knex makes of an answer is known where nothing comes back; nobody may look into another one. */
  #answer(query: QueryObject): object {
    const { method, output, returning } = { ...query } as Readonly<Record<string, unknown>>;
    const isRead = ['raw', 'select', 'first', 'pluck', 'columnInfo'].includes(String(method));
    const command = /^\s*(\w*)/.exec(query.sql)?.[1]?.toUpperCase();
    if (!isRead && output === undefined && returning === undefined)
      return { command, rowCount: 0, rows: [], fields: [] };
    const look = (): never => {
      this.stop();
      throw new Error('the answer is not known');
    };
    return new Proxy(
      {},
      { get: (_target, property) => (property === 'then' ? undefined : look()), ownKeys: look, has: look },
    );
  }
}

// knex and what surrounds it are on the stack between a builder and the author's line.
const mostFrames = 60;
