import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { bySets, byRows, drained, noteWrites } from '../support/draining.ts';
import { recordsIn, recordsOf } from '../support/log-records.ts';
import { plansOf } from '../support/planned.ts';
import { hurry, makeProject } from '../support/project.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

/**
 * The order of a run where nobody has asked for one, on a server whose cache is smaller than the table.
 * FAULTS_LONG=1: killed by sets, too.
 */

const timeout = 120_000;
const isLong = process.env['FAULTS_LONG'] === '1';
const rows = 12_000;

let server: TestServer;
let databases = 0;

beforeAll(async () => {
  server = await startTestServer({ settings: { shared_buffers: '512kB', autovacuum: 'off' } });
});

afterAll(async () => {
  await server.remove();
});

const createTable = `
  create table t (id uuid primary key default gen_random_uuid(), seq int not null unique, version int,
                  n int not null default 0, hits int not null default 0, pad text not null);
  create index on t (version);
  ${noteWrites('uuid')}
  insert into t (seq, pad) select i, repeat('x', 60) from generate_series(1, ${rows}) as i;
  analyze t`;

async function withTable(work: (on: { client: pg.Client; url: string }) => Promise<void>): Promise<void> {
  const admin = await connect(server.url);
  const name = `auto_${(databases += 1)}`;
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  const client = await connect(url);
  try {
    await client.query(createTable);
    await work({ client, url });
  } finally {
    await client.end();
  }
}

/** By pass the spaces of its ranges. */
async function passes(client: pg.Client): Promise<readonly string[]> {
  const { rows: found } = await client.query<{ space: string }>(
    `select string_agg(distinct space, ' ') as space from umzug_cluster.ranges group by pass order by pass`,
  );
  return found.map(({ space }) => space);
}

const styles = [
  ['rows', (seconds = 0) => byRows('{}', seconds)],
  ['sets', (seconds = 0) => bySets('{}', seconds)],
] as const;

it.each(isLong ? styles : styles.slice(0, 1))(
  'is physical where the first rows drain, and writes each row once though it is killed on the way, by %s',
  async (_style, source) => {
    await withTable(async ({ client, url }) => {
      const place = { cwd: makeProject({ 'a.ts': source(0.05) }).dir, url };
      // the first rows are visited by key, the others by block
      for (const least of [300, 1_900, 3_000]) {
        const running = start(['up', '--workers', '2', '--chunk-size', '100'], place);
        await until('rows are migrated', async () => (await rowsDone(client)) >= least);
        // the kill must hit another point of the chunk each time
        await sleep(Math.random() * 50);
        killGroup(running.pid);
        await running.outcome;
      }
      expect(await drained(client), 'killed in the middle').toMatchObject({ most: 1 });
      hurry(place.cwd);
      const { code, stderr } = await run(['up', '--log-format', 'json'], place);
      expect(code, stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
      expect((await passes(client)).slice(0, 3)).toEqual(['keys', 'blocks', 'keys']);
      expect((await run(['verify'], place)).code).toBe(0);
      const down = await run(['down'], place);
      expect(down.code, down.stderr).toBe(0);
      expect(await drained(client)).toMatchObject({ n: { 0: rows } });
    });
  },
  timeout,
);

it.each([
  // behind those that are visited first
  [
    'in the middle',
    'id in (select id from t order by id offset 6000 limit 11)',
    ['keys', 'blocks', 'keys'],
    11,
  ],
  ['anywhere', 'true', ['keys'], rows],
] as const)(
  'is that of the key where rows %s still match, each of which is written once',
  async (_where, undrained, expected, left) => {
    await withTable(async ({ client, url }) => {
      await client.query(`update t set hits = 1 where ${undrained}`);
      const version = 'case when hits = 1 then null else 2 end';
      const source = bySets('{}').replaceAll(', version });', `, version: db.raw(\`${version}\`) });`);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const done = await run(['up', '--workers', '1', '--log-format', 'json'], place);
      expect(done.code, done.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
      expect(await passes(client)).toEqual(expected);
      const { rows: found } = await client.query('select count(*)::int as left from t where version is null');
      expect(found).toEqual([{ left }]);
      const orders = recordsOf(recordsIn(done.stderr), 'run.order').map(({ order }) => order);
      expect(orders).toEqual(expected.length > 1 ? ['physical', 'key'] : ['key']);
      const { stdout } = await run(['verify', '--json'], place);
      expect(JSON.parse(stdout), 'the ledger is sound').not.toHaveProperty('error.code', 'LEDGER_DAMAGED');
    });
  },
  timeout,
);

it(
  'does all rows but those that fail, and `retry` does these, whatever the order was when they failed',
  async () => {
    await withTable(async ({ client, url }) => {
      await client.query(`
        update t set hits = -1 where id in (select id from t order by id limit 1) or seq = 11000;
        alter table t add constraint good check (hits >= 0 or n = 0)`);
      const place = { cwd: makeProject({ 'a.ts': byRows('{}') }).dir, url };
      const failed = await run(['up', '--workers', '1'], place);
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toContain('2 rows are quarantined');
      expect(await drained(client)).toEqual({ n: { 0: 2, 1: rows - 2 }, most: 1 });
      await client.query('alter table t drop constraint good');
      const retried = await run(['retry', 'a'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
    });
  },
  timeout,
);

it('is in the plan, with its reason, and options.order overrides it', async () => {
  await withTable(async ({ client, url }) => {
    const source = byRows('{}');
    const files = {
      '1-scattered.ts': source,
      '2-in-order.ts': byRows(`{ key: ['seq'] }`).replaceAll(`select('id')`, `select('id', 'seq')`),
      '3-undrained.ts': source.replaceAll(', version });', ' });'),
      '4-few.ts': source.replace(`.whereNull('version')`, `.whereNull('version').where('seq', '<', 100)`),
      '5-by-key.ts': byRows(`{ order: 'key' }`),
      '6-physical.ts': byRows(`{ order: 'physical' }`),
      '7-joined.ts': source.replace(
        `.whereNull('version')`,
        `.whereNull('version').whereIn('seq', db('t').select('seq'))`,
      ),
    };
    const place = { cwd: makeProject(files).dir, url };
    const planned = await run(['plan', '--json'], place);
    expect(planned.code, planned.stderr).toBe(0);
    const byKey = { by: 'key', why: null };
    expect(plansOf(planned.stdout).map(({ order }) => order)).toEqual([
      {
        by: 'physical',
        why: expect.stringMatching(
          /^"t" \(\d\.\d MB\) is more than twice as large as shared_buffers \([\d.]+ kB\), its rows are not stored in the order of "id", and about \d\d rows of each page match; /,
        ),
      },
      byKey,
      { by: 'key', why: expect.stringContaining('still match select') },
      byKey,
      byKey,
      { by: 'physical', why: `options.order is 'physical'` },
      byKey,
    ]);
    const text = await run(['plan', '1-scattered'], place);
    expect(text.stdout).toMatch(/^ {2}order {6}physical, then sweeps: "t" /m);
    await client.query('update t set version = 1 where seq > 500');
    expect((await run(['up', '--name', '5-by-key', '--workers', '1'], place)).code).toBe(0);
    expect(await passes(client)).toEqual(['keys']);
  });
});
