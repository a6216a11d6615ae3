import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { standingOf } from '../../src/core/progress/standing.ts';
import { type Migrator, createMigrator } from '../../src/index.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { ledgerNames } from '../../src/ledger/schema.ts';
import { Session } from '../../src/postgres/session.ts';
import { until } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** What a run shows of itself, by a sample of blocks: whatever the planner believes, and wherever rows match. */

const rows = 12_000;

/** Which rows match, by their number. */
const matches = {
  all: 'true',
  'half, spread': 'i % 2 = 0',
  'half, at the beginning': `i <= ${rows / 2}`,
  'half, at the end': `i > ${rows / 2}`,
  '5 %, spread': 'i % 20 = 7',
  '5 %, at the beginning': `i <= ${rows / 20}`,
  '5 %, at the end': `i > ${rows - rows / 20}`,
  '0.5 %, spread': 'i % 200 = 77',
  '0.5 %, at the beginning': `i <= ${rows / 200}`,
  '0.5 %, at the end': `i > ${rows - rows / 200}`,
} as const;

const keys = {
  bigint: 'i',
  uuid: 'md5(i::text)::uuid',
} as const;

/** What the planner knows of the table. */
const statistics = ['none', 'fresh', 'of a tenth', 'of ten times as many'] as const;

/** Of 8 rows a block there are more blocks than are drawn. */
const fill = { 'a block of 8 rows': 10, 'a full block': 100 } as const;

interface Case {
  readonly match: keyof typeof matches;
  readonly key: keyof typeof keys;
  readonly known: (typeof statistics)[number];
  readonly block: keyof typeof fill;
  readonly style: 'rows' | 'sets';
}

// FAULTS_LONG=1: each way of matching with each kind of key; else with one of them. What else differs takes turns.
const isLong = process.env['FAULTS_LONG'] === '1';
const cases: readonly Case[] = Object.keys(matches).flatMap((match, index) =>
  Object.keys(keys).flatMap((key, turn): Case[] => {
    if (!isLong && turn !== Math.floor(index / 4) % 2) return [];
    return [
      {
        match: match as Case['match'],
        key: key as Case['key'],
        known: statistics[(index + 2 * turn) % statistics.length] ?? 'none',
        block: (index + turn) % 3 === 0 ? 'a full block' : 'a block of 8 rows',
        style: (index + turn) % 2 === 0 ? 'rows' : 'sets',
      },
    ];
  }),
);

async function create(client: TestDatabase['client'], { match, key, known, block }: Case): Promise<number> {
  await client.query(`create table t (id ${key} primary key, no int, slug text, pad text)
    with (autovacuum_enabled = off, fillfactor = ${fill[block]})`);
  const insert = (from: number, count: number, condition: string): string => `
    insert into t select ${keys[key]}, i, case when ${condition} then null else 'x' end, repeat('p', 60)
    from generate_series(${from + 1}, ${from + count}) as i;`;
  if (known === 'of a tenth') await client.query(`${insert(0, rows / 10, 'false')} analyze t; truncate t`);
  if (known === 'of ten times as many') {
    await client.query(`${insert(0, rows * 10, 'true')} analyze t; truncate t`);
  }
  await client.query(insert(0, rows, matches[match]));
  if (known === 'fresh') await client.query('analyze t');
  const { rows: found } = await client.query<{ n: number }>(
    'select count(*)::int as n from t where slug is null',
  );
  return found[0]?.n ?? 0;
}

const source = (style: Case['style'], hook: string): string => `
  import { setBased } from 'umzug-cluster';
  export const options = { chunkSize: 800 };
  const seen = async () => await globalThis[${JSON.stringify(hook)}]();
  const by = (from, to) => ({
    select: (db) => from === null ? db('t').whereNull('slug')${style === 'rows' ? `.select('id')` : ''}
      : db('t').where('slug', from)${style === 'rows' ? `.select('id')` : ''},
    update: ${
      style === 'rows'
        ? `async (db, rows) => {
      await seen();
      await db('t').whereIn('id', rows.map(({ id }) => id)).update({ slug: to });
    }`
        : `setBased(async (chunk) => {
      await seen();
      await chunk.update({ slug: to });
    })`
    },
  });
  export const { select, update } = by(null, 'done');
  export const down = by('done', null);`;

/** A look at a run between two chunks: what is shown, and what is true. */
interface Look {
  readonly shown: number;
  readonly total: number | null;
  readonly share: number;
  readonly ranges: number;
}

let made = 0;

/** Gives `work` a migrator of one such migration, and what was seen of it before each of its chunks. */
async function watched(
  { url }: TestDatabase,
  { key, style }: Case,
  work: (migrator: Migrator, looks: Look[]) => Promise<void>,
): Promise<void> {
  made += 1;
  const hook = `look_${made}`;
  const { dir } = makeProject({ 'a.ts': source(style, hook) });
  const cluster = { lanes: 2, workers: 1 };
  const knexfile = `export default { client: 'pg', migrations: { cluster: ${JSON.stringify(cluster)} } };`;
  writeFileSync(path.join(dir, 'knexfile.ts'), knexfile);
  const migrator = await createMigrator({ cwd: dir, databaseUrl: url });
  const session = await Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
  const looks: Look[] = [];
  let turn = Promise.resolve();
  (globalThis as Record<string, unknown>)[hook] = () => {
    const before = turn;
    const look = async (): Promise<void> => {
      await before;
      const seen = await lookAt(session, key);
      if (seen !== null) looks.push(seen);
    };
    turn = look();
    return turn;
  };
  try {
    await work(migrator, looks);
  } finally {
    await session.end();
    await migrator.close();
  }
}

/** In one snapshot; null while `plan` tries a chunk. */
async function lookAt(session: Session, key: string): Promise<Look | null> {
  const ledger = new Ledger(session, ledgerNames('umzug_cluster'));
  await session.query('begin isolation level repeatable read');
  try {
    const run = (await ledger.runs.findLive('a', 'down')) ?? (await ledger.runs.findLive('a', 'up'));
    if (run === null) return null;
    const sums = await ledger.ranges.totals(run.id);
    const { fraction, rowsEstimated } = standingOf(run, sums);
    const { rows: counted } = await session.query(
      `select count(*) filter (where t.id <= (r.cursor)[1]::${key})::float8 / count(*)::float8 as share
       from umzug_cluster.ranges as r
       join public.t on (r.lo is null or t.id > (r.lo)[1]::${key}) and t.id <= (r.hi)[1]::${key}
       where r.run_id = $1::bigint`,
      [run.id],
    );
    return {
      shown: fraction ?? Number.NaN,
      total: rowsEstimated,
      share: Number(counted[0]?.['share']),
      ranges: sums.rangesOpen + sums.rangesDone,
    };
  } finally {
    await session.query('rollback');
  }
}

function expectTrue(looks: readonly Look[], matching: number): void {
  expect(looks.length).toBeGreaterThan(0);
  for (const { shown, total, share } of looks) {
    expect(Math.abs(shown - share), `${shown} is shown at ${share}`).toBeLessThan(0.1);
    if (share < 0.2 || total === null) continue;
    expect(total, `of ${matching} at ${share}`).toBeGreaterThanOrEqual(matching / 2);
    expect(total, `of ${matching} at ${share}`).toBeLessThanOrEqual(matching * 2);
  }
}

describe('share and total are true, whatever the planner knows', () => {
  it.each(cases)('$match; $key, statistics $known, $block, by $style', async (one) => {
    await withDatabase(async (db) => {
      const matching = await create(db.client, one);
      await watched(db, one, async (migrator, looks) => {
        const [outcome] = await migrator.up();
        expect(outcome?.rows).toBe(matching);
        expectTrue(looks, matching);
        // As many as with fresh statistics: few rows are one range, many are shared out.
        if (one.match === 'all') expect(looks[0]?.ranges).toBe(8);
      });
    });
  });

  it.each(cases.filter(({ match }) => /^all|^5 %, at the end/.test(match)))(
    '$match, down and up again; $key, by $style',
    async (one) => {
      await withDatabase(async (db) => {
        const matching = await create(db.client, one);
        await watched(db, one, async (migrator, looks) => {
          await migrator.up();
          looks.length = 0;
          await migrator.down();
          expectTrue(looks, matching);
          looks.length = 0;
          const [again] = await migrator.up();
          expect(again?.rows).toBe(matching);
          expectTrue(looks, matching);
        });
      });
    },
  );

  it.each(cases.filter(({ match }) => /^all|^half, spread/.test(match)))(
    '$match, the way back of a run that was stopped; $key, by $style',
    async (one) => {
      await withDatabase(async (db) => {
        await create(db.client, one);
        await watched(db, one, async (migrator, looks) => {
          const stopped = migrator.up().catch((error: unknown) => error);
          await until('some chunks are done', () => looks.length >= 3);
          migrator.stop('SIGTERM', 'drain');
          await stopped;
          looks.length = 0;
          const [reverted] = await migrator.down();
          expect(looks[0]?.total).toBe(reverted?.rows);
          expectTrue(looks, reverted?.rows ?? 0);
        });
      });
    },
  );
});
