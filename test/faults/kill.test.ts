import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type pg from 'pg';
import { childrenOf, groupMembers, kill, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import type { Running } from '../support/cli.ts';
import { writeAllTheWhile } from '../support/application.ts';
import { withDatabase } from '../support/database.ts';
import {
  counterRows,
  createCounters,
  hurry,
  makeProject,
  rowsMigration,
  setMigration,
} from '../support/project.ts';

// 24 kills, of which a worker's takes its whole group afterwards; FAULTS_LONG=1: 1,020, and 200 in one run.
const isLong = process.env['FAULTS_LONG'] === '1';
const rounds = isLong ? 30 : 12;
const tables = isLong ? 17 : 1;
// small chunks, so that a run lasts for all the kills
const args = ['up', '--workers', '2', '--chunk-size', '5'];
const coarse = ['up', '--workers', '2', '--chunk-size', '100'];
const timeout = 240_000;

type Victim = 'primary' | 'worker' | 'group';
const victims: readonly Victim[] = ['primary', 'worker', 'group'];

async function strike(victim: Victim, { pid }: Running): Promise<void> {
  if (victim === 'group') return killGroup(pid);
  if (victim === 'primary') return kill(pid);
  kill(await until('the primary has a worker', () => childrenOf(pid)[0]));
}

async function counts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n order by n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  return rows[0];
}

async function allGone({ pid, outcome }: Running): Promise<void> {
  await outcome;
  await until('the whole process group is gone', () => groupMembers(pid).length === 0);
}

/** Reads, computes, writes back what the application writes too; and writes down what it was given. */
const readAndWriteBack = `
  import { updateRows } from 'umzug-cluster';
  export const select = (db) => db('counters').select('id', 'n', 'hits');
  export const update = async (db, rows, { chunk, attempt }) => {
    await db.raw('select pg_sleep(0.05)');
    await db('given').insert(rows.map(({ id }) => ({ id, chunk, attempt })));
    const changed = rows.map(({ id, n, hits }) => ({ id, n: n + 1, hits }));
    await updateRows(db, 'counters', changed, { key: ['id'], set: ['n', 'hits'] });
  };`;

it.each(
  Array.from({ length: tables }, () => [
    ['rows', readAndWriteBack],
    ['sets', setMigration(0.05)],
  ]).flat(),
)(
  `writes every row once though processes are killed ${rounds} times while the application writes, by %s`,
  async (style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createCounters}; create table given (id bigint, chunk text, attempt int)`);
      const place = { cwd: makeProject({ 'a.ts': source ?? '' }).dir, url };
      const application = writeAllTheWhile(url, 2);
      for (let round = 0; round < rounds; round += 1) {
        const victim = victims[round % victims.length] ?? 'group';
        const before = await rowsDone(client);
        expect(before, `round ${round} has rows left to do`).toBeLessThan(counterRows);
        const running = start(args, place);
        await until('rows are migrated', async () => (await rowsDone(client)) > before);
        // the kill must hit another point of the chunk each time
        await sleep(Math.random() * 50);
        await strike(victim, running);
        if (victim === 'worker') {
          const atDeath = await rowsDone(client);
          await until('the others go on', async () => (await rowsDone(client)) > atDeath);
          killGroup(running.pid);
        }
        await allGone(running);
      }
      const last = start(['up'], place);
      expect(await last.outcome).toMatchObject({ code: 0 });
      await allGone(last);
      const acknowledged = await application.stop();
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
      const { rows } = await client.query(
        `select (select sum(hits)::int from counters) as hits, (select count(*)::int from given) as given,
                (select count(distinct id)::int from given) as ids`,
      );
      const given = style === 'rows' ? counterRows : 0;
      expect(rows, 'no write of the application is lost').toEqual([
        { hits: acknowledged, given, ids: given },
      ]);
    });
  },
  timeout,
);

it(
  'replaces a killed worker and finishes with exit code 0',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
      const running = start(coarse, { cwd: dir, url });
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await strike('worker', running);
      hurry(dir);
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/worker \d+ died/);
      await allGone(running);
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);

// Sixteen without progress end a run.
const deaths = 200;

it.runIf(isLong)(
  `bears ${deaths} killed workers in one run, each of which has committed a chunk`,
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createCounters}; create table given (pid int)`);
      const source = rowsMigration(0.1).replace(
        'await db(',
        "await db('given').insert({ pid: process.pid }); await db(",
      );
      const { dir } = makeProject({ 'a.ts': source });
      const env = { UMZUG_CLUSTER_LANES: '1' };
      const place = { cwd: dir, url, env };
      const running = start(['up', '--workers', '2', '--chunk-size', '2'], place);
      const dead: number[] = [];
      while (dead.length < deaths) {
        const victim = await until('another worker has committed a chunk', async () => {
          const pids = childrenOf(running.pid).filter((pid) => !dead.includes(pid));
          const { rows } = await client.query<{ pid: number }>(
            'select pid from given where pid = any ($1) limit 1',
            [pids],
          );
          return rows[0]?.pid;
        });
        kill(victim);
        dead.push(victim);
      }
      hurry(dir);
      // In chunks of two rows the rest would take minutes.
      await run(['set', 'a', 'chunk-size=1000'], place);
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr.match(/worker \d+ died/g)).toHaveLength(deaths);
      await allGone(running);
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  3_600_000,
);

it.each([
  ['rows', rowsMigration(0.1)],
  ['sets', setMigration(0.1)],
])(
  'goes back from the middle of a killed run, and up again, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const running = start(coarse, place);
      await until('half is migrated', async () => (await rowsDone(client)) > counterRows / 3);
      killGroup(running.pid);
      await allGone(running);
      hurry(place.cwd);
      expect(await counts(client), 'killed in the middle').toMatchObject({ n: [0, 1] });

      const down = await run(['down', '--workers', '2', '--chunk-size', '200'], place);
      expect(down.code, down.stderr).toBe(0);
      const { rows } = await client.query(
        'select distinct count(*)::int as times from writes group by id order by 1',
      );
      expect(rows, 'only what was written is taken back').toEqual([{ times: 2 }]);
      expect(await counts(client)).toMatchObject({ n: [0] });

      await client.query('truncate writes');
      expect(await run(coarse, place)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);
