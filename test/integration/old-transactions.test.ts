import { afterAll, beforeAll, expect, it } from 'vitest';
import { Ledger } from '../../src/ledger/ledger.ts';
import { olderTransactions } from '../../src/ledger/look/old-transactions.ts';
import { ensureLedger, ledgerNames } from '../../src/ledger/schema.ts';
import { Session } from '../../src/postgres/session.ts';
import { describeOld } from '../../src/run/lifecycle/register.ts';
import { somebodyWaits } from '../support/application.ts';
import { until } from '../support/cli.ts';
import { type TestDatabase, connect, createDatabase } from '../support/database.ts';

const names = ledgerNames('umzug_cluster');
const described =
  /^prepared transaction 'two''s' of role "postgres" \(end it with COMMIT PREPARED 'two''s' or ROLLBACK PREPARED 'two''s'\), \d+ s old$/;

let database: TestDatabase;
let session: Session;

beforeAll(async () => {
  database = await createDatabase();
  session = await Session.open({ connection: database.url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
  await session.query('begin');
  await ensureLedger(session, 'umzug_cluster', {
    waiting: () => undefined,
    signal: AbortSignal.timeout(60_000),
  });
  await session.query('commit; create table t (id int primary key); insert into t values (1)');
});

afterAll(async () => {
  await session.end();
  await database.drop();
});

it('names a prepared transaction, whose it is and how to end it: one that is older, and one whose lock a chunk wants', async () => {
  const { client } = database;
  await client.query(`begin; delete from t; prepare transaction 'two''s'`);
  try {
    const { rows } = await session.query('select pg_catalog.pg_current_xact_id()::text as xid');
    // one of another test's database that ends just then is listed as well, since nothing is known of it any more
    const older = await until('no other one is older', async () => {
      const [first, ...more] = await olderTransactions(session, String(rows[0]?.['xid']));
      return more.length === 0 ? first : null;
    });
    expect(describeOld(older)).toMatch(described);

    const chunk = await connect(database.url);
    await chunk.query(`begin; select from ${names.ranges} for update`);
    const waiting = chunk.query('select from t for update');
    await somebodyWaits(client);
    expect((await new Ledger(session, names).blockers.list()).map(describeOld)).toEqual([
      expect.stringMatching(described),
    ]);
    await client.query(`rollback prepared 'two''s'`);
    await waiting;
    await chunk.end();
  } finally {
    await client.query(`rollback prepared 'two''s'`).catch(() => undefined);
  }
});
