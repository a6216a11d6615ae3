import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { typescriptLoader } from '../../src/config/typescript.ts';

/** A temporary folder with a `migrations/` folder, as a user's project. */
export interface Project {
  readonly dir: string;
  /** Writes a migration file, also over an old one. */
  write(name: string, source: string): void;
}

/** Makes a project whose migration files have the given texts; it is deleted when the test ends. */
export function makeProject(files: Readonly<Record<string, string>>): Project {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-project-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(path.join(dir, 'migrations'));
  const write = (name: string, source: string): void => {
    const file = path.join(dir, 'migrations', name);
    writeFileSync(file, source);
    if (name.endsWith('.ts')) translate(file, source);
  };
  for (const [name, source] of Object.entries(files)) write(name, source);
  return { dir, write };
}

/**
 * Puts the translation of a migration where the command looks for it, made by the same translator. A process that has
 * to load it first needs a third more time, and most tests have a project of their own.
 */
function translate(filename: string, source: string): void {
  const loader = typescriptLoader(path.dirname(filename), {});
  loader.transform({ filename, source, ts: true, async: true });
}

/** How many rows `createCounters` makes. */
export const counterRows = 20_000;

/** The table of the exactly-once tests, of so many rows: a trigger writes down every UPDATE of a row in `writes`. */
export const countersOf = (rows: number): string => `
  create table counters (id bigint primary key, n int not null default 0, hits int not null default 0);
  create table writes (id bigint not null);
  insert into counters (id) select generate_series(1, ${rows});
  create function note_write() returns trigger language plpgsql as
    $$ begin insert into writes values (new.id); return null; end $$;
  create trigger note_write after update of n on counters for each row execute function note_write();
  analyze counters;`;

/** The same of as many rows as most tests need. */
export const createCounters = countersOf(counterRows);

const sleeping = (seconds: number): string =>
  seconds > 0
    ? `if (!isThere(new URL('../enough', import.meta.url))) await db.raw('select pg_sleep(${seconds})');`
    : '';

/**
 * From now on chunks of the project folder `dir` no longer sleep: what had to happen in the middle of a run has
 * happened. So a run may be as slow as the slowest machine needs to be in time, and is over soon all the same.
 */
export function hurry(dir: string): void {
  mkdirSync(path.join(dir, 'enough'), { recursive: true });
}

/**
 * A migration that adds 1 to every counter, and takes 1 away on the way down; rows pass through Node. Each chunk
 * sleeps for so long until `hurry`.
 */
export const rowsMigration = (seconds = 0): string => `
  import { existsSync as isThere } from 'node:fs';
  const change = (n) => async (db, rows) => {
    ${sleeping(seconds)}
    await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + ?', [n]) });
  };
  export const select = (db) => db('counters').select('id');
  export const update = change(1);
  export const down = { select, update: change(-1) };`;

/** The same as `rowsMigration`, without reading the rows. */
export const setMigration = (seconds = 0): string => `
  import { existsSync as isThere } from 'node:fs';
  import { setBased } from 'umzug-cluster';
  const change = (n) => setBased(async (chunk, db) => {
    ${sleeping(seconds)}
    await chunk.update({ n: db.raw('n + ?', [n]) });
  });
  export const select = (db) => db('counters').select('id');
  export const update = change(1);
  export const down = { select, update: change(-1) };`;
