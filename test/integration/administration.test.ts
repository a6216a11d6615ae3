import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Situation, type Verb, decide } from '../../src/core/config/operate.ts';
import { liveStates } from '../../src/core/config/states.ts';
import { ensureLedger } from '../../src/ledger/schema.ts';
import { Session } from '../../src/postgres/session.ts';
import { withTransaction } from '../../src/postgres/transaction.ts';
import { type TestDatabase, createDatabase, onServer, withDatabase } from '../support/database.ts';

/** What an administrator does with psql alone. */

const schema = 'it"s';
const quoted = '"it""s"';
let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  await makeLedger(database, schema);
});

async function makeLedger({ url }: TestDatabase, name: string): Promise<void> {
  const session = await Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
  const turn = { waiting: () => undefined, signal: AbortSignal.timeout(60_000) };
  await withTransaction(session, `set local search_path = ''`, () => ensureLedger(session, name, turn));
  await session.end();
}

beforeEach(async () => {
  await database.client.query(`set search_path = ${quoted}; truncate runs, migrations, history cascade`);
});

afterAll(() => database.drop());

/** A run of `a` in this state, with one range that a worker has touched a moment ago, and a quarantined row. */
async function makeRun(
  direction: 'up' | 'down',
  state: string,
  { client }: TestDatabase = database,
): Promise<void> {
  await client.query(
    `insert into runs (id, name, direction, state, reverts, start_xid, plan, file_sha256, plan_sha256, error)
       select 1, 'a', 'up', case '${direction}' when 'up' then '${state}' else 'reverting' end, null::bigint, '1'::xid8, '{}'::jsonb, 'f', '', 'why'
       union all select 2, 'a', 'down', '${state}', 1, '1', '{}', 'f', '', 'why' where '${direction}' = 'down';
     insert into controls (run_id) select id from runs;
     insert into ranges (run_id, no, hi, worker, open_claims, rows, chunks, estimated)
       select id, 1, array['9'], 'w', 3, 5, 1, 7 from runs;`,
  );
}

const runs = async (): Promise<unknown> =>
  (await database.client.query('select id::text, state, epoch > 1 as is_later, error from runs order by id'))
    .rows;

const situations: readonly (Omit<Situation, 'name'> & { readonly make: () => Promise<unknown> })[] = [
  ...liveStates.map((state) => ({
    up: state,
    isPartlyBack: false,
    down: null,
    isExecuted: false,
    make: () => makeRun('up', state),
  })),
  ...[true, false].flatMap((isPartlyBack) =>
    liveStates.map((state) => ({
      up: 'reverting' as const,
      isPartlyBack,
      down: state,
      isExecuted: false,
      make: async () => {
        await makeRun('down', state);
        if (!isPartlyBack)
          await database.client.query('update ranges set rows = 0, chunks = 0 where run_id = 2');
      },
    })),
  ),
  {
    up: null,
    isPartlyBack: false,
    down: null,
    isExecuted: true,
    make: () =>
      database.client.query(`insert into migrations (name, kind, file_sha256) values ('a', 'schema', '')`),
  },
  { up: null, isPartlyBack: false, down: null, isExecuted: false, make: () => Promise.resolve() },
];

describe.each(['pause', 'resume', 'cancel'] satisfies Verb[])('%s with SQL', (verb) => {
  it.each(situations)(
    'does what the command does, of a run that is $up and a rollback that is $down, partly done: $isPartlyBack',
    async ({ make, ...now }) => {
      await make();
      const before = await runs();
      const decision = decide(verb, { name: 'a', ...now });
      const asked = database.client.query(`select ${verb}('a') as said`);
      if (decision.kind === 'refuse' || decision.kind === 'abandon') {
        const { why: message, hint } =
          decision.kind === 'refuse'
            ? decision
            : {
                why: 'a is being rolled back and has restored nothing yet: only the command can abandon that',
                hint: 'umzug-cluster cancel a; or pause it',
              };
        await expect(asked).rejects.toMatchObject({ message, hint });
        expect(await runs()).toEqual(before);
        return;
      }
      expect((await asked).rows[0]?.said).toMatch(/^a (is|may) /);
      const { rows: events } = await database.client.query(
        'select event, migration, run_id::text, direction, host, file_sha256 from history',
      );
      if (decision.kind === 'already') return expect([await runs(), events]).toEqual([before, []]);
      const id = now.down === null ? '1' : '2';
      expect(await runs()).toContainEqual({
        id,
        state: decision.to,
        is_later: true,
        error: decision.to === 'cancelled' ? 'why' : null,
      });
      const event = { pause: 'paused', resume: 'resumed', cancel: 'cancelled' }[verb];
      expect(events).toEqual([
        { event, migration: 'a', run_id: id, direction: decision.direction, host: null, file_sha256: 'f' },
      ]);
      const { rows } = await database.client.query(
        `select worker is null as is_free from ranges where run_id = ${id}`,
      );
      expect(rows).toEqual([{ is_free: verb === 'resume' }]);
    },
  );
});

it('set takes what the command takes, and refuses the rest', async () => {
  await makeRun('up', 'running');
  const set = (key: string, value: string): Promise<unknown> =>
    database.client.query('select set($1, $2, $3)', ['a', key, value]);
  const changes = { pace: ['2000'], chunkSize: ['off'], workers: ['2', 'default'] };
  for (const [key, values] of Object.entries(changes)) for (const value of values) await set(key, value);
  const { rows } = await database.client.query('select settings from status');
  expect(rows).toEqual([{ settings: { pace: 2000, chunkSize: null } }]);
  await expect(set('pace', '0')).rejects.toThrow('pace must be a whole number from 1 to 100000000: got "0"');
  await expect(set('workers', 'off')).rejects.toThrow('workers must be a whole number from 1 to 256');
  await expect(set('ceilingMs', '1')).rejects.toThrow('unknown setting "ceilingMs"');
  await database.client.query(`update runs set state = 'done'`);
  await expect(set('pace', '1')).rejects.toThrow('a has no run whose settings could be changed');
});

it('a viewer with the documented grants sees the status and changes nothing', async () => {
  const role = `role_${randomBytes(6).toString('hex')}`;
  await makeRun('up', 'running');
  await database.client.query(
    `create role "${role}"; grant usage on schema ${quoted} to "${role}"; grant select on status, history to "${role}"`,
  );
  await database.client.query(`set role "${role}"`);
  const { rows } = await database.client.query(
    'select migration, state, rows_done, table_rows_left, chunks, hosts, error from status',
  );
  expect(rows).toEqual([
    {
      migration: 'a',
      state: 'interrupted',
      rows_done: '5',
      table_rows_left: '7',
      chunks: '1',
      hosts: '0',
      error: 'why',
    },
  ]);
  await expect(database.client.query(`select pause('a')`)).rejects.toThrow(
    'permission denied for table runs',
  );
  await expect(database.client.query('delete from history')).rejects.toThrow(
    'permission denied for table history',
  );
  await database.client.query(`reset role; drop owned by "${role}"`);
  await onServer(`drop role "${role}"`);
});

it('each function, the view and its columns say what they are', async () => {
  const { rows } = await database.client.query(
    `select p.proname as name from pg_proc as p
     where p.pronamespace = $1::regnamespace and obj_description(p.oid, 'pg_proc') is null
     union all select attname from pg_attribute
     where attrelid = 'status'::regclass and attnum > 0 and col_description(attrelid, attnum) is null
     union all select 'status' where obj_description('status'::regclass, 'pg_class') is null`,
    [quoted],
  );
  expect(rows).toEqual([]);
});

it('the SQL of the guide for administrators runs, with the grants that it names', async () => {
  const guide = readFileSync(path.join(import.meta.dirname, '../../docs/administering.md'), 'utf8');
  const suffix = randomBytes(6).toString('hex');
  const blocks = [...guide.matchAll(/```sql\n([^]*?)```/g)].map(([, sql = '']) =>
    sql.replaceAll(/\b(viewer|operator)\b/g, `$1_${suffix}`).replaceAll('sku-norm', 'a'),
  );
  await withDatabase(async (own) => {
    const { client } = own;
    await makeLedger(own, 'umzug_cluster');
    await client.query('set search_path = umzug_cluster');
    await makeRun('up', 'running', own);
    await client.query('reset search_path');
    const removal = blocks.pop() ?? '';
    for (const sql of blocks) await client.query(sql);
    const steering = blocks.find((sql) => sql.includes('umzug_cluster.resume(')) ?? '';
    await client.query(`update umzug_cluster.runs set state = 'running'; set role operator_${suffix}`);
    await client.query(steering);
    await client.query(`reset role; set role viewer_${suffix}`);
    expect((await client.query('select state, settings from umzug_cluster.status')).rows).toEqual([
      { state: 'cancelled', settings: {} },
    ]);
    const { rows } = await client.query('select event from umzug_cluster.history order by id desc limit 3');
    expect(rows.map(({ event }) => event)).toEqual(['cancelled', 'resumed', 'paused']);
    await client.query('reset role');
    await client.query(removal);
    expect((await client.query(`select to_regnamespace('umzug_cluster') as left`)).rows).toEqual([
      { left: null },
    ]);
  });
});
