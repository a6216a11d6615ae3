import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { findLedger, Ledger } from '../../src/ledger/ledger.ts';
import { whoCaused } from '../../src/ledger/look/history.ts';
import { ensureLedger, ledgerNames, upgradeLedger } from '../../src/ledger/schema.ts';
import { Session, withSession } from '../../src/postgres/session.ts';
import { withTransaction } from '../../src/postgres/transaction.ts';
import { type TestDatabase, onServer, withDatabase } from '../support/database.ts';

const schema = 'umzug_cluster';
const empty = `set local search_path = ''`;

const connect = (url: string): Promise<Session> =>
  Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });

/** A ledger as the release before has made it: version 4 only adds to it. */
async function makeOldLedger({ url, client }: TestDatabase): Promise<void> {
  await withSession({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 }, (session) =>
    withTransaction(session, empty, () =>
      ensureLedger(session, schema, {
        waiting: () => undefined,
        signal: AbortSignal.timeout(60_000),
      }),
    ),
  );
  const { rows } = await client.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class
     where relnamespace = 'umzug_cluster'::regnamespace and relkind in ('r', 'p') and relname <> all ($1)`,
    [
      [
        'meta',
        'runs',
        'controls',
        'hosts',
        'migrations',
        'ranges',
        'quarantine',
        'guard_closed',
        'guard_open',
      ],
    ],
  );
  await client.query(
    `drop view umzug_cluster.status; drop index umzug_cluster.runs_of_migration;
     drop table ${rows.map(({ name }) => name).join(', ')}; update umzug_cluster.meta set version = 3`,
  );
}

const upgrade = (session: Session): Promise<boolean> =>
  withTransaction(session, empty, () => upgradeLedger(session, schema));

it('reads a ledger of version 3, and leaves it as it is', async () => {
  await withDatabase(async (database) => {
    await makeOldLedger(database);
    const session = await connect(database.url);
    const ledger = await findLedger(session, schema);
    expect(await ledger?.history.holds(['1'])).toEqual([]);
    expect(await ledger?.history.list(null, null)).toEqual([]);
    await session.end();
    const { rows } = await database.client.query(
      `select version, to_regclass('umzug_cluster.history') as history from umzug_cluster.meta`,
    );
    expect(rows).toEqual([{ version: 3, history: null }]);
  });
});

it('upgrades it once where several hosts do so at the same time, in their own transactions', async () => {
  await withDatabase(async (database) => {
    await makeOldLedger(database);
    const sessions = await Promise.all(Array.from({ length: 6 }, () => connect(database.url)));
    expect(await Promise.all(sessions.map(upgrade))).toEqual(sessions.map(() => true));
    await Promise.all(sessions.map((session) => session.end()));
    const { rows } = await database.client.query(
      `select version, (select count(*)::int from umzug_cluster.history) as events from umzug_cluster.meta`,
    );
    expect(rows).toEqual([{ version: 4, events: 0 }]);
  });
});

it('gives the rights on what it adds to all who had them on what was there', async () => {
  const role = `role_${randomBytes(6).toString('hex')}`;
  await withDatabase(async (database) => {
    await makeOldLedger(database);
    await database.client.query(
      `create role "${role}" login password 'p'; grant usage on schema umzug_cluster to "${role}";
       grant select, insert, update, delete on all tables in schema umzug_cluster to "${role}"`,
    );
    const url = Object.assign(new URL(database.url), { username: role, password: 'p' }).href;
    const session = await connect(url);
    await expect(upgrade(session)).rejects.toMatchObject({
      code: 'PERMISSION',
      message: `the ledger in schema "umzug_cluster" has version 3, and role "${role}" may not upgrade it to 4`,
      hint: `run a command that writes, such as up, once as the owner of the schema; or: grant create on schema "umzug_cluster" to "${role}";`,
    });
    const owner = await connect(database.url);
    await upgrade(owner);
    await owner.end();
    expect(await upgrade(session)).toBe(true);
    const { history, migrations } = new Ledger(session, ledgerNames(schema));
    await migrations.noteFolder('a', 'shop/migrations');
    await history.record('paused', { name: 'a' }, { error: 'null \0 byte' });
    const [last] = await history.list('a', 1);
    expect(last).toMatchObject({ dbUser: role, pid: process.pid, detail: { error: 'null  byte' } });
    expect(whoCaused({ ...last!, host: 'h', osUser: 'anna' })).toBe('anna on h');
    expect(whoCaused({ ...last!, host: null })).toBe(`role "${role}" with SQL`);
    await session.end();
    await database.client.query(`drop owned by "${role}"`);
  });
  await onServer(`drop role "${role}"`);
});
