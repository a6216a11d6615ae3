import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import {
  type CreateMigratorInput,
  type Migrator,
  UmzugClusterError,
  createMigrator,
} from '../../src/index.ts';
import { makeProject } from './project.ts';

/** How a migration is run in this process. */
export interface Trial {
  /** Lanes that work at the same time, in one host. Default: 2. */
  readonly lanes?: number;
  /** Hosts that work at the same time. Default: 1. */
  readonly hosts?: number;
  /** After how many calls of the hook each try is aborted, one after the other; the last try goes to the end. */
  readonly abortedAfter?: readonly number[];
  /** Takes it back when it is done, with the same interruptions. */
  readonly andBack?: boolean;
  /** Settings of `migrations.cluster`. */
  readonly settings?: object;
  /** Is told what is logged. */
  readonly onLog?: (message: string) => void;
}

/**
 * Migrations that count how often each row was visited: 1 for each time up, 10 for each time down. A row is found
 * again by its number `no`, which no key holds, and counts in `n`; both are plain integers, so that the key's type
 * plays no part in it.
 */
export interface Visiting extends Trial {
  /** The table as an author writes it to knex: `t`, `schema.t`, `t as x`. */
  readonly table: string;
  /** The same in SQL. */
  readonly written: string;
  readonly style: 'rows' | 'sets';
  readonly key?: readonly string[] | undefined;
  readonly chunkSize?: number | undefined;
  /** Condition of `select`, in SQL. Default: all rows. */
  readonly where?: string;
  /** The table's own rows, not those of tables that inherit from it. */
  readonly only?: boolean;
}

/** The file of such a migration; it calls `globalThis[hook]` inside of each chunk, when its rows are written. */
export function visitingSource(visiting: Visiting, hook = ''): string {
  const { table, written, style, key, chunkSize, where = 'true', only = false } = visiting;
  const selected = `db(${JSON.stringify(table)}, ${JSON.stringify({ only })}).whereRaw(${JSON.stringify(where)})`;
  const head = `
    import { setBased } from 'umzug-cluster';
    const visited = () => globalThis[${JSON.stringify(hook)}]?.();
    export const options = ${JSON.stringify({ key, chunkSize })};`;
  if (style === 'sets') {
    return `${head}
      export const select = (db) => ${selected};
      const counting = (times) => setBased(async (chunk, db) => {
        await chunk.update({ n: db.raw('n + ' + times) });
        visited();
      });
      export const update = counting(1);
      export const down = { select, update: counting(10) };`;
  }
  const counting = `update ${only ? 'only ' : ''}${written} as counted set n = n + v.times * ?
    from (select no, count(*) as times from unnest(?::int[]) as no group by no) as v where counted.no = v.no`;
  return `${head}
    export const select = (db) => ${selected}.select('no');
    const counting = (times) => async (db, rows) => {
      await db.raw(${JSON.stringify(counting)}, [times, rows.map(({ no }) => no)]);
      visited();
    };
    export const update = counting(1);
    export const down = { select, update: counting(10) };`;
}

let made = 0;

/** Runs such a migration to its end, with the interruptions asked for; returns the rows that the run counted. */
export async function visitAll(url: string, visiting: Visiting): Promise<number> {
  return await runHere(url, (hook) => visitingSource(visiting, hook), visiting);
}

/**
 * Runs a migration to its end, with the interruptions asked for, and returns the rows that the run counted. Its
 * file is told the name of a hook, a function of `globalThis` that it may call where there is one.
 */
export async function runHere(url: string, source: (hook: string) => string, trial: Trial): Promise<number> {
  made += 1;
  const name = `m${String(made).padStart(6, '0')}`;
  const hook = `visited_${randomBytes(6).toString('hex')}`;
  const { dir } = makeProject({ [`${name}.ts`]: source(hook) });
  const cluster = { lanes: trial.lanes ?? 2, workers: 1, ...trial.settings };
  writeFileSync(
    path.join(dir, 'knexfile.ts'),
    `export default { client: 'pg', migrations: { cluster: ${JSON.stringify(cluster)} } };`,
  );
  const logger = loggerTo(trial.onLog ?? (() => undefined));
  const open = (): Promise<Migrator> => createMigrator({ cwd: dir, databaseUrl: url, logger });
  const up = async (migrator: Migrator): Promise<unknown> => await migrator.up();
  const down = async (migrator: Migrator): Promise<unknown> => await migrator.down();
  for (const calls of trial.abortedAfter ?? []) await abortAfter(await open(), up, hook, calls);
  const hosts = await Promise.all(Array.from({ length: trial.hosts ?? 1 }, open));
  try {
    const outcomes = await Promise.all(hosts.map((migrator) => migrator.up()));
    if (trial.andBack === true) {
      for (const calls of trial.abortedAfter ?? []) await abortAfter(await open(), down, hook, calls);
      await Promise.all(hosts.map(down));
    }
    return Math.max(0, ...outcomes.flat().map(({ rows }) => rows));
  } finally {
    await Promise.all(hosts.map((migrator) => migrator.close()));
  }
}

function loggerTo(onLog: (message: string) => void): Required<CreateMigratorInput>['logger'] {
  const write = (fields: object, message = ''): void => onLog(`${message} ${JSON.stringify(fields)}`);
  const logger = { debug: write, info: write, warn: write, error: write, child: () => logger };
  return logger;
}

/** One try that is aborted inside of a chunk, unless it comes to its end before. */
async function abortAfter(
  migrator: Migrator,
  work: (migrator: Migrator) => Promise<unknown>,
  hook: string,
  calls: number,
): Promise<void> {
  const hooks = globalThis as Record<string, unknown>;
  let left = calls;
  hooks[hook] = () => {
    left -= 1;
    if (left <= 0) migrator.stop('deadline', 'abort');
  };
  try {
    await work(migrator);
  } catch (error) {
    if (!(error instanceof UmzugClusterError) || error.code !== 'STOPPED') throw error;
  } finally {
    delete hooks[hook];
    await migrator.close();
  }
}

/** How many rows of a table were visited how often. */
export async function visits(client: pg.Client, written: string): Promise<Record<string, number>> {
  const { rows } = await client.query<{ n: number; count: number }>(
    `select n, count(*)::int from ${written} group by n order by n`,
  );
  return Object.fromEntries(rows.map(({ n, count }) => [n, count]));
}
