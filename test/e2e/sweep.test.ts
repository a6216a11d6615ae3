import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { killAll } from '../support/audit.ts';
import { rowsDone, run, start, until } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { bySets, byRows, drained, noteWrites } from '../support/draining.ts';
import { hurry, makeProject } from '../support/project.ts';

/**
 * `options.sweep`: what the application inserts or changes while a run is under way is found by its sweeps.
 * FAULTS_LONG=1: all both by rows and by sets.
 */

const timeout = 120_000;
const isLong = process.env['FAULTS_LONG'] === '1';
const rows = 3_000;

const createTable = `
  create table t (id bigint primary key, version int, n int not null default 0);
  ${noteWrites('bigint')}
  insert into t (id) select 1000000 + i from generate_series(1, ${rows}) as i;
  analyze t;`;

const options = '{ sweep: true }';

const styles = [
  ['rows', (seconds = 0) => byRows(options, seconds)],
  ['sets', (seconds = 0) => bySets(options, seconds)],
] as const;

/** Inserts ahead of and behind the cursors, deletes, changes keys, and takes a row's mark away again. */
async function disturb({ client }: TestDatabase): Promise<void> {
  await client.query(`
    insert into t (id) select i from generate_series(1, 50) as i;                    -- behind all cursors
    insert into t (id) select 9000000 + i from generate_series(1, 50) as i;          -- behind the end
    delete from t where id in (select id from t where version is null order by id desc limit 20 offset 60);
    update t set id = id - 900000 where id in (                                      -- from ahead to behind
      select id from t where version is null and id between 1000000 and 2000000 order by id desc limit 10)`);
}

it.each(isLong ? styles : styles.slice(0, 1))(
  'finds what was inserted, moved and changed meanwhile, each row once, and goes back over all of it, by %s',
  async (_style, source) => {
    await withDatabase(async (database) => {
      const { url, client } = database;
      await client.query(createTable);
      const place = { cwd: makeProject({ 'a.ts': source(0.1) }).dir, url };
      const up = start(['up', '--workers', '1', '--chunk-size', '20', '--log-format', 'json'], place);
      await until('a part is done', async () => (await rowsDone(client)) > rows / 10);
      await disturb(database);
      hurry(place.cwd);
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/"event":"run.sweeping".*"sweep":1/);
      const all = rows + 50 + 50 - 20;
      expect(await drained(client)).toEqual({ n: { 1: all }, most: 1 });
      expect((await run(['verify'], place)).code).toBe(0);
      const down = await run(['down'], place);
      expect(down.code, down.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 0: all }, most: 2 });
    });
  },
  timeout,
);

it.each(isLong ? styles : styles.slice(1))(
  'is exactly once though it is killed in the middle of a sweep that two hosts share, by %s',
  async (_style, source) => {
    await withDatabase(async (database) => {
      const { url, client } = database;
      await client.query(createTable);
      const place = { cwd: makeProject({ 'a.ts': source(0.05) }).dir, url };
      const flags = ['up', '--workers', '1', '--chunk-size', '20', '--log-format', 'json'];
      const first = start(flags, place);
      await until('a part is done', async () => (await rowsDone(client)) > rows / 10);
      await client.query(`insert into t (id) select i from generate_series(1, 2000) as i`);
      await first.says(/"event":"run.sweeping"/);
      await until('the sweep has found rows', async () => (await rowsDone(client)) > rows + 300);
      await killAll(client, first);
      hurry(place.cwd);
      expect(await drained(client), 'killed in the middle').toMatchObject({ most: 1 });
      const hosts = [start(flags, place), start(flags, place)];
      for (const { outcome } of hosts) {
        const { code, stderr } = await outcome;
        expect(code, stderr).toBe(0);
      }
      expect(await drained(client)).toEqual({ n: { 1: rows + 2_000 }, most: 1 });
    });
  },
  timeout,
);

it.each([
  ['rows', byRows(options).replaceAll(/, version \}/g, ' }')],
  ['sets', bySets(options).replaceAll(/, version \}/g, ' }')],
])(
  'is refused with a select that does not drain, by its first chunk and without a change, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const refused = await run(['up', '--workers', '1'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(
        /^error: a, up, range \d: select finds rows again after update: [\d,]+ rows still match after update$/m,
      );
      expect(refused.stderr).toMatch(/^ {2}hint: select by what update changes/m);
      expect(await drained(client)).toEqual({ n: { 0: rows }, most: null });
    });
  },
  timeout,
);

it(
  'ends under a firehose of inserts, doubles nothing, and says that it would go on for ever',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      let isOver = false;
      const firehose = (async () => {
        for (let id = 0; !isOver; id += 1) {
          // above and below all that is there, as fast as the server takes them
          await client.query('insert into t (id) values ($1), ($2)', [10_000_000 + id, 900_000 - id]);
          await sleep(1);
        }
      })();
      const place = { cwd: makeProject({ 'a.ts': byRows(options) }).dir, url };
      const { code, stderr } = await run(['up', '--workers', '1', '--log-format', 'json'], place);
      isOver = true;
      await firehose;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/"event":"run.endless".*"sweeps":\d/);
      expect(await drained(client)).toMatchObject({ most: 1 });
    });
  },
  timeout,
);
