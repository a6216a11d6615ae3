import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { killAll } from '../support/audit.ts';
import { type Running, groupMembers, kill, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { bySets, byRows, drained, moveAllTheWhile, noteWrites } from '../support/draining.ts';
import { hurry, makeProject } from '../support/project.ts';

/**
 * `options.order = 'physical'`: blocks first, then sweeps by key. Its rows move, for an index is on what is set.
 * FAULTS_LONG=1: more kills, and all both by rows and by sets.
 */

const timeout = 240_000;
const isLong = process.env['FAULTS_LONG'] === '1';
const rounds = isLong ? 60 : 3;
// so many that there is work left after all rounds
const rows = 1_200 * rounds;

const createTable = `
  create table t (id uuid primary key default gen_random_uuid(), version int, n int not null default 0,
                  hits int not null default 0, pad text not null default repeat('x', 60));
  create index on t (version);
  ${noteWrites('uuid')}
  insert into t (pad) select repeat('x', 20 + i % 60) from generate_series(1, ${rows}) as i;
  analyze t;`;

const options = "{ order: 'physical' }";

const styles = [
  ['rows', (seconds = 0) => byRows(options, seconds)],
  ['sets', (seconds = 0) => bySets(options, seconds)],
] as const;

/**
 * Kills a command, its first process alone or all of them, and waits until nothing of it is left; the application stays
 * connected.
 */
async function strike(victim: 'primary' | 'group', { pid, outcome }: Running): Promise<void> {
  if (victim === 'group') killGroup(pid);
  else kill(pid);
  await outcome;
  await until('the whole process group is gone', () => groupMembers(pid).length === 0);
}

it.each(styles)(
  'writes every row once though it is killed again and again while the application moves rows, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const place = { cwd: makeProject({ 'a.ts': source(0.2) }).dir, url };
      const stop = moveAllTheWhile(url);
      const flags = ['up', '--workers', '2', '--chunk-size', '60'];
      for (let round = 0; round < rounds; round += 1) {
        const before = await rowsDone(client);
        const running = start(flags, place);
        await until('rows are migrated', async () => (await rowsDone(client)) > before);
        // the kill must hit another point of the chunk each time
        await sleep(Math.random() * 50);
        await strike(round % 2 === 0 ? 'group' : 'primary', running);
      }
      expect(await drained(client), 'killed in the middle').toMatchObject({ most: 1 });
      hurry(place.cwd);
      const last = await run(['up', '--log-format', 'json'], place);
      const hits = await stop();
      expect(last.code, last.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
      const { rows: sums } = await client.query('select sum(hits)::int as hits from t');
      expect(sums, 'no write of the application is lost').toEqual([{ hits }]);
      const { rows: spaces } = await client.query(
        `select pass, string_agg(distinct space, ' ') as space from umzug_cluster.ranges group by pass order by pass`,
      );
      expect(spaces.slice(0, 2)).toEqual([
        { pass: 0, space: 'blocks' },
        { pass: 1, space: 'keys' },
      ]);
      expect((await run(['verify'], place)).code).toBe(0);
    });
  },
  timeout,
);

it.each(isLong ? styles : styles.slice(1))(
  'goes back from the middle of a killed run, and up and all the way back again, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const place = { cwd: makeProject({ 'a.ts': source(0.2) }).dir, url };
      const running = start(['up', '--workers', '2', '--chunk-size', '60'], place);
      await until('a fifth is migrated', async () => (await rowsDone(client)) > rows / 5);
      await killAll(client, running);
      hurry(place.cwd);
      expect(await drained(client), 'killed in the middle').toMatchObject({
        n: { 0: expect.any(Number) },
        most: 1,
      });
      for (const [command, n] of [
        ['down', 0],
        ['up', 1],
        ['down', 0],
      ] as const) {
        const { code, stderr } = await run([command], place);
        expect(code, stderr).toBe(0);
        expect(await drained(client), command).toMatchObject({ n: { [n]: rows } });
      }
      const { rows: times } = await client.query(
        'select distinct count(*)::int % 2 as odd from writes group by id',
      );
      expect(times, 'only what was written is taken back').toEqual([{ odd: 0 }]);
    });
  },
  timeout,
);

it.each(isLong ? styles : styles.slice(0, 1))(
  'sets bad rows aside and does all others, and `retry` does them, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      await client.query(`
        update t set hits = -1 where id in (select id from t limit 3 offset ${rows / 2});
        alter table t add constraint good check (hits >= 0 or n = 0)`);
      const place = { cwd: makeProject({ 'a.ts': source() }).dir, url };
      const failed = await run(['up', '--workers', '1'], place);
      expect(failed.code, failed.stderr).toBe(1);
      expect(failed.stderr).toContain('3 rows are quarantined');
      expect(await drained(client)).toEqual({ n: { 0: 3, 1: rows - 3 }, most: 1 });
      await client.query('alter table t drop constraint good');
      const retried = await run(['retry', 'a'], place);
      expect(retried.code, retried.stderr).toBe(0);
      expect(await drained(client)).toEqual({ n: { 1: rows }, most: 1 });
    });
  },
  timeout,
);

it('is refused where select does not drain, and for what has no blocks of its own', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${createTable};
      create table parted (id int primary key, version int) partition by hash (id);
      create table parted_0 partition of parted for values with (modulus 1, remainder 0);
      insert into parted select generate_series(1, 10)`);
    const up = async (source: string): Promise<{ code: number | null; stderr: string }> =>
      await run(['up', '--workers', '1'], { cwd: makeProject({ 'a.ts': source }).dir, url });
    const undrained = bySets(options).replaceAll(', version });', ' });');
    const cases = [
      [1, undrained, /select finds rows again after update: [\d,]+ rows still match after update/],
      [1, byRows(options).replaceAll(', version });', ' });'), /select finds rows again after update/],
      [
        2,
        byRows(options).replaceAll(`db('t')`, `db('parted')`),
        /"parted" is partitioned and has no blocks of its own/,
      ],
      [
        2,
        byRows(options).replace(`.whereNull('version')`, `.whereIn('id', db('t').select('id'))`),
        /a subquery/,
      ],
      [
        2,
        byRows(options).replace(`'physical'`, `'random'`),
        /options.order must be 'auto', 'key' or 'physical'/,
      ],
    ] as const;
    for (const [expected, source, message] of cases) {
      const { code, stderr } = await up(source);
      expect(stderr).toMatch(message);
      expect(code, stderr).toBe(expected);
    }
    expect(await drained(client)).toEqual({ n: { 0: rows }, most: null });
  });
});
