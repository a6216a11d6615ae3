import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type pg from 'pg';
import { childrenOf, groupMembers, kill, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import type { Running } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject, rowsMigration, setMigration } from '../support/project.ts';

// FAULTS_LONG=1: more kills, in smaller chunks, so that the run lasts for all of them.
const isLong = process.env['FAULTS_LONG'] === '1';
const rounds = isLong ? 18 : 6;
const args = ['up', '--workers', '2', '--chunk-size', isLong ? '25' : '100'];
const timeout = isLong ? 300_000 : 90_000;

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

it.each([
  ['rows', rowsMigration(0.05)],
  ['sets', setMigration(0.05)],
])(
  `writes every row once though processes are killed ${rounds} times, by %s`,
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
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
      const last = start(args, place);
      expect(await last.outcome).toMatchObject({ code: 0 });
      await allGone(last);
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);

it(
  'replaces a killed worker and finishes with exit code 0',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const running = start(args, { cwd: makeProject({ 'a.ts': rowsMigration(0.05) }).dir, url });
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await strike('worker', running);
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/worker \d+ died/);
      await allGone(running);
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);

it.each([
  ['rows', rowsMigration(0.03)],
  ['sets', setMigration(0.03)],
])(
  'goes back from the middle of a killed run, and up again, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const running = start(args, place);
      await until('half is migrated', async () => (await rowsDone(client)) > counterRows / 3);
      killGroup(running.pid);
      await allGone(running);
      expect(await counts(client), 'killed in the middle').toMatchObject({ n: [0, 1] });

      const down = await run(['down', '--workers', '2', '--chunk-size', '200'], place);
      expect(down.code, down.stderr).toBe(0);
      const { rows } = await client.query(
        'select distinct count(*)::int as times from writes group by id order by 1',
      );
      expect(rows, 'only what was written is taken back').toEqual([{ times: 2 }]);
      expect(await counts(client)).toMatchObject({ n: [0] });

      await client.query('truncate writes');
      expect(await run(args, place)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);
