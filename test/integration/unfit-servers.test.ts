import { describe, expect, it } from 'vitest';
import { type Outcome, run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { readServer } from '../../src/run/context/environment.ts';
import { withSession } from '../../src/postgres/session.ts';
import { pinned } from '../../src/postgres/transaction.ts';
import { defaultTuning } from '../../src/core/config/settings.ts';

/**
 * Servers that speak Postgres and are not: each lacks one thing that exactly once depends on, whatever they call
 * themselves. Here it is taken away from a real one, in a database of the test's own.
 */

const source = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('t').whereNull('slug');
  export const update = setBased((chunk, db) => chunk.update({ slug: db.raw('name') }));
  export const down = { select: (db) => db('t'), update: setBased((chunk) => chunk.update({ slug: null })) };`;

const createTable = `
  create table t (id int primary key, name text not null default 'n', slug text);
  insert into t (id) select generate_series(1, 100);`;

/** Replaces a function of the server's own, in this database alone, by one that the planner can inline. */
const replaced = (definition: string): string =>
  `set allow_system_table_mods = on; create or replace function pg_catalog.${definition}; reset allow_system_table_mods`;

async function afterChange(change: string, args: readonly string[] = ['up']): Promise<Outcome> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(createTable);
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    // the ledger is there, and the migration is not
    if (args[0] === 'down') expect(await run(['up'], place)).toMatchObject({ code: 0 });
    else await run(['up'], { ...place, cwd: makeProject({}).dir });
    if (change.includes('umzug_cluster.')) await run(['up'], place);
    if (change.includes('umzug_cluster.') && args[0] === 'up') {
      expect(await run(['down'], place)).toMatchObject({ code: 0 });
    }
    await client.query(change);
    const done = await run(args, place);
    const { rows } = await client.query('select count(*)::int as filled from t where slug is not null');
    expect(rows, 'nothing was changed').toEqual([{ filled: args[0] === 'down' ? 100 : 0 }]);
    return done;
  });
}

describe('a server is refused, by what it does', () => {
  it.each([
    [
      'that does not check deferred foreign keys',
      'alter table umzug_cluster.guard_open disable trigger all',
      ['up'],
      /the server does not check a deferred foreign key of the ledger at COMMIT/,
    ],
    [
      'that does not, on the way back',
      'alter table umzug_cluster.guard_open disable trigger all',
      ['down'],
      /the server does not check a deferred foreign key of the ledger at COMMIT/,
    ],
    [
      'that checks them at once',
      'alter table umzug_cluster.guard_open alter constraint guard_open_token_fkey not deferrable',
      ['up'],
      /the server does not check a deferred foreign key of the ledger at COMMIT/,
    ],
    [
      'whose snapshots do not list open transactions',
      replaced(
        `pg_snapshot_xmin(pg_snapshot) returns xid8 language sql stable as $$ select '9999999999'::xid8 $$`,
      ),
      ['up'],
      /the server does not tell which transactions are still writing/,
    ],
    [
      'that has no snapshots',
      `set allow_system_table_mods = on; alter function pg_catalog.pg_current_snapshot() rename to no_snapshot;
       reset allow_system_table_mods`,
      ['up'],
      /the server does not tell which transactions are still writing\n {2}function pg_catalog.pg_current_snapshot\(\) does not exist; without it/,
    ],
    [
      'that keeps the rows of the table elsewhere',
      replaced(
        `pg_relation_size(regclass, text) returns bigint language sql volatile as $$ select 0::bigint $$`,
      ),
      ['up'],
      /"t" has rows, but no block of it is on this server/,
    ],
  ] as const)('%s', async (_which, change, args, message) => {
    const { code, stderr } = await afterChange(change, args);
    expect(stderr).toMatch(message);
    expect(stderr).toContain('nothing was changed');
    expect(code).toBe(2);
  });
});

it('a server that does not know what the ledger is made of is refused, and has nothing of it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${createTable}
      create function refuse() returns event_trigger language plpgsql as
        $$ begin raise feature_not_supported using message = 'foreign keys cannot be deferred'; end $$;
      create event trigger refuse on ddl_command_start when tag in ('CREATE TABLE') execute function refuse()`);
    const { code, stderr } = await run(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
    expect(stderr).toMatch(
      /the server cannot create the ledger in schema "umzug_cluster"\n {2}foreign keys cannot be deferred; .*nothing was changed/,
    );
    expect(code).toBe(2);
    const { rows } = await client.query(`select from pg_namespace where nspname = 'umzug_cluster'`);
    expect(rows).toEqual([]);
  });
});

it('what is only good to have is left out where the server does not know it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createTable);
    await client.query(
      replaced(
        `current_setting(text, boolean) returns text language sql stable as
           $$ select case when $1 <> 'client_connection_check_interval' then pg_catalog.current_setting($1) end $$`,
      ),
    );
    const options = {
      connection: { connectionString: url },
      connectTimeoutMs: 5_000,
      answerTimeoutMs: 5_000,
    };
    const server = await withSession(options, readServer);
    expect(server.lacks).toEqual(['client_connection_check_interval']);
    const settings = pinned(defaultTuning(1), { ...server, linux: true });
    expect(settings).not.toContain('client_connection_check_interval');
    expect(settings).toContain('tcp_user_timeout');
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    expect(await run(['up'], place)).toMatchObject({ code: 0 });
  });
});
