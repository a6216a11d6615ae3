import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { writeAllTheWhile } from '../support/application.ts';
import { type Place, groupMembers, killGroup, start, until } from '../support/cli.ts';
import { createMigrator } from '../../src/application.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject } from '../support/project.ts';
import { type ClientMessage, type Fate, startProxy } from '../support/proxy.ts';
import {
  atPositions,
  migrateHere,
  resetSmallTables,
  smallEnv,
  smallMigration,
  smallRows,
  smallTables,
} from '../support/small-run.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
const rounds = isLong ? 100 : 6;
const timeout = isLong ? 1_800_000 : 240_000;

const source = `
  import { setBased } from 'umzug-cluster';
  export const options = { undo: true };
  export const select = (db) => db('counters').select('id');
  export const update = setBased((chunk, db) => chunk.update({ n: db.raw('id + 7') }));`;

/** Runs a command, and kills all of its processes in the middle, again and again. */
async function underKills(args: readonly string[], place: Place, done: () => Promise<number>): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const before = await done();
    expect(before, `round ${round} has rows left to do`).toBeLessThan(counterRows);
    const running = start([...args, '--workers', '2', '--chunk-size', '20'], place);
    await until('rows are done', async () => (await done()) > before);
    // the kill must hit another point of the chunk each time
    await sleep(Math.random() * 50);
    killGroup(running.pid);
    await running.outcome;
    await until('the whole process group is gone', () => groupMembers(running.pid).length === 0);
  }
}

it(
  `changes and restores every row once though its processes are killed ${2 * rounds} times while the application writes`,
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const count = async (which: string): Promise<number> =>
        Number(
          (await client.query<{ n: string }>(`select count(*) as n from counters where ${which}`)).rows[0]?.n,
        );
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const application = writeAllTheWhile(url, 2);
      await underKills(['up'], place, () => count('n <> 0'));
      expect(await start(['up'], place).outcome).toMatchObject({ code: 0 });
      // changed since, in what was migrated
      await client.query('update counters set n = -1 where id % 1000 = 0');
      await client.query('truncate writes');
      await underKills(['down', '--yes'], place, () => count('n = 0'));
      const last = await start(['down', '--yes'], place).outcome;
      const acknowledged = await application.stop();
      expect(last.code, last.stderr).toBe(0);
      const left = counterRows / 1000;
      const back = counterRows - left;
      expect(last.stdout).toContain(`a: ${back.toLocaleString('en-US')} rows restored, ${left} left alone`);
      const { rows } = await client.query(
        `select (select count(*)::int from counters where n = 0) as back,
                (select count(*)::int from counters where n = -1 and id % 1000 = 0) as left_alone,
                (select count(*)::int from writes) as writes, (select count(distinct id)::int from writes) as ids,
                (select sum(hits)::int from counters) as hits,
                (select count(*)::int from umzug_cluster.images) as images,
                (select count(*)::int from umzug_cluster.conflicts) as conflicts`,
      );
      expect(rows).toEqual([
        {
          back,
          left_alone: left,
          writes: back,
          ids: back,
          hits: acknowledged,
          images: counterRows,
          conflicts: left,
        },
      ]);
    });
  },
  timeout,
);

const smallUndo = `export const options = { undo: true }; ${smallMigration}`;

/** One rollback of a run of three chunks, in which the messages of clients meet the given fate. */
async function backOnce(
  { client, url }: Pick<TestDatabase, 'client' | 'url'>,
  fate: (message: ClientMessage) => Fate,
): Promise<{ messages: number; violation: string | null }> {
  await client.query(`${smallTables} ${resetSmallTables}`);
  const { dir } = makeProject({ 'a.ts': smallUndo });
  await migrateHere(dir, url);
  await client.query('update t set n = 5 where id = 15; truncate writes');
  const proxy = await startProxy(url, fate);
  try {
    const migrator = await createMigrator({ cwd: dir, databaseUrl: proxy.url(url), workers: 1 });
    try {
      await migrator.down();
    } finally {
      await migrator.close();
    }
    const { rows } = await client.query<Record<string, unknown>>(
      `select (select count(*)::int from t where n = 0) as back, (select n from t where id = 15) as left_alone,
              (select count(*)::int from writes) as writes, (select count(distinct id)::int from writes) as ids,
              (select count(*)::int from umzug_cluster.conflicts) as conflicts,
              (select string_agg(state, ',' order by runs.id) from umzug_cluster.runs) as runs,
              (select count(*)::int from umzug_cluster.migrations) as executed,
              (select count(*)::int from umzug_cluster.guard_open) as tokens`,
    );
    const back = smallRows - 1;
    const counts = { back, left_alone: 5, writes: back, ids: back, conflicts: 1 };
    const right = { ...counts, runs: 'reverted,done', executed: 0, tokens: 0 };
    const seen = JSON.stringify(rows[0]);
    return { messages: proxy.messages, violation: seen === JSON.stringify(right) ? null : seen };
  } catch (error) {
    return { messages: proxy.messages, violation: String(error) };
  } finally {
    await proxy.close();
  }
}

it(
  `restores every row once though the wire is cut at ${isLong ? 'any' : 'every thirty-first'} message, before or after it was read`,
  async () => {
    for (const [name, value] of Object.entries(smallEnv)) vi.stubEnv(name, value);
    const cutAt = (fate: Fate, k: number): ReturnType<typeof backOnce> =>
      withDatabase((db) => backOnce(db, ({ no }) => (no === k ? fate : 'pass')));
    const whole = await cutAt('pass', 0);
    expect(whole.violation, 'undisturbed').toBeNull();
    const positions = Array.from({ length: whole.messages }, (_, index) => index + 1);
    const tried = positions.filter((k) => isLong || k % 31 === 0);
    const wrong = await atPositions(
      tried,
      { fates: ['cut-before', 'cut-after'] as const, atOnce: 12 },
      async (fate, k) => (await cutAt(fate, k)).violation,
    );
    vi.unstubAllEnvs();
    expect(wrong).toEqual([]);
  },
  timeout,
);
