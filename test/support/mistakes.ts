import type pg from 'pg';
import { run } from './cli.ts';
import type { Outcome } from './cli.ts';
import { withDatabase } from './database.ts';
import { makeProject } from './project.ts';

/** Rows of the table. */
export const rows = 300;
/** In the chunk of this row, the mistake is made. */
export const marked = 130;

const table = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, ${rows});
  create procedure ends() language plpgsql as $$ begin commit; end $$;
  analyze t`;

const args = ['up', '--workers', '1', '--chunk-size', '50'];

/** A migration that does its work in each chunk, and in the chunk of the marked row also `mistake`. */
export const withMistake = (mistake: string, options = '{}'): string => `
  export const options = ${options};
  export const select = (db) => db('t').select('id');
  const add = (db, ids) => db('t').whereRaw('id = any (?)', [ids]).update({ n: db.raw('n + 1') });
  export const update = async (db, rows, context) => {
    await add(db, rows.map(({ id }) => id));
    if (!rows.some(({ id }) => id === ${marked})) return;
    ${mistake}
  };`;

/** What is done to the table: `n` of the marked row, sum and largest; what the ledger says. */
export interface Done {
  readonly mark: number | null;
  readonly sum: number;
  readonly most: number;
  readonly recorded: number;
}

async function whatIsDone(client: pg.Client): Promise<Done> {
  const { rows: found } = await client.query<Done>(
    `select (select n from t where id = ${marked}) as mark, sum(n)::int as sum, max(n) as most,
            (select sum(rows)::int from umzug_cluster.ranges) as recorded from t`,
  );
  if (found[0] === undefined) throw new Error('no answer');
  return found[0];
}

/** Runs a migration on a table of its own. */
export async function tryMigration(
  source: string,
  check: (outcome: Outcome, done: Done, client: pg.Client) => void | Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const outcome = await run(args, { cwd: makeProject({ 'a.ts': source }).dir, url, env });
    await check(outcome, await whatIsDone(client), client);
  });
}
