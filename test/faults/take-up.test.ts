import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { groupMembers, kill, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { held, holdingMigration, holds } from '../support/hold.ts';
import { counterRows, createCounters, hurry, makeProject } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
const kills = isLong ? 60 : 2;
// so that the run lasts for all the kills, with as many lanes as it likes
const [rows, chunkSize] = isLong ? [5 * counterRows, '5'] : [counterRows, '20'];
const timeout = 600_000;

/** Milliseconds from `since` until another worker has claimed the range of a row, or has gone on in it. */
async function takenUpAfter(client: pg.Client, id: string, pid: number, since: string): Promise<number> {
  return await until('the range is taken up', async () => {
    const { rows } = await client.query<{ ms: number }>(
      `select extract(epoch from touched_at - $3::timestamptz)::float8 * 1000 as ms from umzug_cluster.ranges
       where coalesce(lo[1]::bigint, 0) < $1::bigint and $1::bigint <= hi[1]::bigint
         and touched_at > $3::timestamptz and worker not like '%:' || $2 || '/%'`,
      [id, String(pid), since],
    );
    return rows[0]?.ms;
  });
}

async function killAndMeasure(hold: string): Promise<readonly number[]> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    await client.query(
      `insert into counters (id) select generate_series(${counterRows + 1}, ${rows}); analyze counters`,
    );
    const { dir } = makeProject({ 'a.ts': holdingMigration(hold) });
    const up = start(['up', '--workers', '3', '--chunk-size', chunkSize], { cwd: dir, url });
    const measured: number[] = [];
    while (measured.length < kills) {
      const { pid, id } = await held(dir);
      // at any moment between two looks of the server at its client
      await sleep(Math.random() * 1_000);
      const { rows } = await client.query<{ now: string }>('select clock_timestamp()::text as now');
      kill(pid);
      measured.push(await takenUpAfter(client, id, pid, rows[0]?.now ?? ''));
    }
    hurry(dir);
    await run(['set', 'a', 'chunk-size=500'], { cwd: dir, url });
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
    const { rows: seen } = await client.query(
      `select (select array_agg(distinct n) from counters) as n, (select count(*)::int from writes) as writes`,
    );
    expect(seen).toEqual([{ n: [1], writes: rows }]);
    return measured;
  });
}

it.each([
  ['between two statements', holds.idle],
  ['while its statement runs', holds.statement],
])(
  'takes up the range of a worker that is killed %s',
  async (_when, hold) => {
    const measured = await killAndMeasure(hold);
    const sorted = measured.toSorted((one, other) => one - other);
    const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    // figures of this machine, to be read and not to be judged
    console.log(`take-up: median ${Math.round(median ?? NaN)} ms, at most ${Math.round(worst ?? NaN)} ms`);
  },
  timeout,
);
