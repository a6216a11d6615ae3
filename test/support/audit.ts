import type pg from 'pg';
import { expect } from 'vitest';
import { groupMembers, killGroup, until } from './cli.ts';
import type { Outcome, Running } from './cli.ts';
import { rowsMigration } from './project.ts';

/** How many rows `createAudited` makes. */
export const auditedRows = 6_000;

/**
 * A table of counters on which `rowsMigration` and `setMigration` run; a trigger writes down every change, as it
 * was and as it became.
 */
export const createAudited = `
  create table counters (id bigint primary key, n int not null default 0);
  insert into counters (id) select generate_series(1, ${auditedRows});
  create table audit (id bigint not null, was int not null, n int not null);
  create function note_change() returns trigger language plpgsql as
    $$ begin insert into public.audit values (new.id, old.n, new.n); return null; end $$;
  create trigger note_change after update of n on counters for each row execute function note_change();
  analyze counters;`;

const withFirst = (statement: string): string =>
  rowsMigration().replace('async (db, rows) => {', `async (db, rows) => { ${statement}`);

/** `rowsMigration`, whose chunks wait at a gate, all but the first ones, while it is closed. */
export const gatedMigration = withFirst(
  `if (Number(rows.at(-1).id) > ${auditedRows / 10}) await db.raw('select pg_advisory_xact_lock_shared(1)');`,
);

/** Closes the gate; for the length of the session, since a run waits for transactions that are older than itself. */
export async function closeGate(client: pg.Client): Promise<void> {
  await client.query('select pg_advisory_lock(1)');
}

/** Lets all pass that wait at the gate. */
export async function openGate(client: pg.Client): Promise<void> {
  await client.query('select pg_advisory_unlock(1)');
}

/** `rowsMigration`, which goes up to the middle, where it fails for good until there is a table `missing`. */
export const failingMigration = withFirst(
  `if (n > 0 && Number(rows[0].id) > ${auditedRows / 2}) await db.raw('select from missing');`,
);

/** How many rows are up. No row may ever have gone up twice or down twice. */
export async function rowsUp(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ up: number; wrong: number }>(
    `select (select sum(n)::int from counters) as up,
            (select count(*)::int from audit where was not in (0, 1) or n not in (0, 1)) as wrong`,
  );
  expect(rows[0]?.wrong, 'no row is done twice or reverted twice').toBe(0);
  return rows[0]?.up ?? 0;
}

/** How many rows ever went up. */
export async function rowsWentUp(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>('select count(*)::int as n from audit where n > was');
  return rows[0]?.n ?? 0;
}

/** So many rows went up, each once, and came back, each once. */
export async function expectAllBack(client: pg.Client, wentUp: number): Promise<void> {
  expect(await rowsUp(client)).toBe(0);
  const { rows } = await client.query(
    `select count(*) filter (where n > was)::int as ups, count(*) filter (where n < was)::int as downs,
            (count(*) - count(distinct (id, n)))::int as twice from audit`,
  );
  expect(rows).toEqual([{ ups: wentUp, downs: wentUp, twice: 0 }]);
}

/** All runs, as `a up done`, oldest first; none where there is no ledger. */
export async function runStates(client: pg.Client): Promise<readonly string[]> {
  const there = await client.query(`select to_regclass('umzug_cluster.runs') is not null as there`);
  if (there.rows[0]?.there !== true) return [];
  const { rows } = await client.query<{ run: string }>(
    `select name || ' ' || direction || ' ' || state as run from umzug_cluster.runs order by id`,
  );
  return rows.map(({ run }) => run);
}

/** How many sessions wait for a lock of another, or ask again and again for their turn. */
export async function waitingSessions(client: pg.Client): Promise<number> {
  // inside a transaction the server shows what it saw first
  await client.query('select pg_stat_clear_snapshot()');
  const { rows } = await client.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
       and (wait_event_type = 'Lock' or query like '%pg_try_advisory_xact_lock%')`,
  );
  return rows[0]?.n ?? 0;
}

/** Resolves when nobody but the test is connected: what was sent before a kill may still be executed. */
export async function quiet(client: pg.Client): Promise<void> {
  await until('the server has noticed who is gone', async () => {
    const sql = `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                 and backend_type = 'client backend'`;
    return (await client.query(sql)).rowCount === 0;
  });
}

/** Kills a command's whole group, and waits until nothing of it is left, on the server neither. */
export async function killAll(client: pg.Client, { pid, outcome }: Running): Promise<void> {
  killGroup(pid);
  await outcome;
  await until('the whole process group is gone', () => groupMembers(pid).length === 0);
  await quiet(client);
}

/** Fails with what the command said where it did not exit with this code. */
export function expectCode({ code, stderr }: Outcome, expected: number): void {
  expect(code, stderr).toBe(expected);
}

/** Exit code 3, and both of the hashes that differ. */
export function expectDrift(outcome: Outcome, hashes: readonly string[]): void {
  expectCode(outcome, 3);
  const said = new Set(outcome.stderr.match(/\b[0-9a-f]{64}\b/g));
  for (const hash of hashes) expect([...said]).toContain(hash);
  expect(said.size, 'both hashes').toBe(2);
}
