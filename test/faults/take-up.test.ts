import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { groupMembers, kill, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
const kills = isLong ? 60 : 4;
// so that the run lasts for all the kills
const chunkSize = isLong ? '5' : '20';
const timeout = 600_000;

/**
 * Adds 1 to every counter. Where the folder `armed` is there, the chunk that takes it away in a worker says in the
 * file `held` who it is, and comes to no end. Not twice in a row in a range: what kills two workers comes last.
 */
const source = (hold: string): string => `
  import cluster from 'node:cluster';
  import { existsSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
  const isArmed = () => { try { rmdirSync('armed'); return true; } catch { return false; } };
  export const select = (db) => db('counters').select('id');
  export const update = async (db, rows, { attempt }) => {
    await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    if (cluster.isWorker && attempt === 1 && isArmed()) {
      writeFileSync('holding', JSON.stringify({ pid: process.pid, id: rows[0].id }));
      renameSync('holding', 'held');
      ${hold}
    }
    if (!existsSync('enough')) await db.raw('select pg_sleep(0.2)');
  };`;

/** Milliseconds from `since` until another worker has claimed the range of a row, or has gone on in it. */
async function takenUpAfter(client: pg.Client, id: string, pid: number, since: string): Promise<number> {
  return await until('the range is taken up', async () => {
    const { rows } = await client.query<{ ms: number }>(
      `select extract(epoch from touched_at - $3::timestamptz)::float8 * 1000 as ms from umzug_cluster.ranges
       where coalesce(lo[1]::bigint, 0) < $1::bigint and $1::bigint <= hi[1]::bigint
         and touched_at > $3::timestamptz and worker not like '%:' || $2 || ':%'`,
      [id, String(pid), since],
    );
    return rows[0]?.ms;
  });
}

async function killAndMeasure(hold: string): Promise<readonly number[]> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const { dir } = makeProject({ 'a.ts': source(hold) });
    const armed = path.join(dir, 'armed');
    const held = path.join(dir, 'held');
    const up = start(['up', '--workers', '3', '--chunk-size', chunkSize], { cwd: dir, url });
    const measured: number[] = [];
    while (measured.length < kills) {
      mkdirSync(armed);
      await until('a worker holds a chunk', () => existsSync(held));
      const { pid, id } = JSON.parse(readFileSync(held, 'utf8')) as { pid: number; id: string };
      rmSync(held);
      // at any moment between two looks of the server at its client
      await sleep(Math.random() * 1_000);
      const { rows } = await client.query<{ now: string }>('select clock_timestamp()::text as now');
      kill(pid);
      measured.push(await takenUpAfter(client, id, pid, rows[0]?.now ?? ''));
    }
    mkdirSync(path.join(dir, 'enough'));
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
    const { rows } = await client.query(
      `select (select array_agg(distinct n) from counters) as n, (select count(*)::int from writes) as writes`,
    );
    expect(rows).toEqual([{ n: [1], writes: counterRows }]);
    return measured;
  });
}

const p99 = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[Math.ceil(values.length * 0.99) - 1] ?? Infinity;

it.each([
  ['between two statements', `await new Promise((resolve) => setTimeout(resolve, 600_000));`, 1_000],
  ['while its statement runs', `await db.raw('select pg_sleep(600)');`, 2_500],
])(
  'takes up the range of a worker that is killed %s',
  async (_when, hold, mostMs) => {
    const measured = await killAndMeasure(hold);
    console.log(`take-up: ${measured.map((ms) => Math.round(ms)).join(' ')} ms`);
    expect(p99(measured)).toBeLessThan(mostMs);
  },
  timeout,
);
