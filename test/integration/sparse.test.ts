import { describe, expect, it } from 'vitest';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { upMeasured } from '../support/measured.ts';

/**
 * Selects that hardly ever match: no statement runs away, the run is seen to go on while nothing matches, and no
 * more is read than a few scans of the table.
 */

const rows = 100_000;
const timeout = 60_000;

// Autovacuum would read, too. A pad of 100 bytes: some 60 rows a page, which keys in the table's order read one after the other, random ones not.
const keys = {
  'keys with gaps of 10^12': `bigint primary key', 'i * 1000000000000::bigint`,
  'random keys': `uuid primary key', 'md5(i::text)::uuid`,
} as const;

type Kind = keyof typeof keys;

async function createSparse(client: TestDatabase['client'], kind: Kind, matching: string): Promise<number> {
  const [type, value] = keys[kind].split("', '");
  await client.query(`
    create table t (id ${type}, kind text, n int not null default 0, pad text not null)
      with (autovacuum_enabled = off);
    insert into t (id, kind, pad) select ${value}, case when ${matching} then null else 'done' end, repeat('x', 100)
      from generate_series(1, ${rows}) as i`);
  await client.query('vacuum analyze t');
  const { rows: found } = await client.query<{ pages: number }>(
    `select (pg_relation_size('t') + pg_indexes_size('t')) / 8192 as pages`,
  );
  return Number(found[0]?.pages);
}

async function changed(client: TestDatabase['client']): Promise<unknown> {
  const { rows: found } = await client.query(
    `select (kind is null) as matches, n, count(*)::int from t group by 1, 2 order by 3`,
  );
  return found;
}

const byRows = (set: string): string => `
  export const select = (db) => db('t').select('id').whereNull('kind');
  export const update = (db, rows) =>
    db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n + 1')${set} });`;
const bySets = (set: string): string => `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('t').whereNull('kind');
  export const update = setBased((chunk, db) => chunk.update({ n: db.raw('n + 1')${set} }));`;

const drained = `, kind: 'done'`;
const styles = [
  ['rows', 'drains', byRows(drained)],
  ['rows', 'does not drain', byRows('')],
  ['sets', 'drains', bySets(drained)],
  ['sets', 'does not drain', bySets('')],
] as const;

// Each case once by rows and once by sets, draining and not; all four where every row matches.
const mixed = [styles[0], styles[3]] as const;

const few = rows / 100_000;
// The sample before the run: its blocks are read for the keys and for the matches, however large the table is.
const drawn = 2 * 330;
const rowsInPage = 65;
// Tried before the run begins, looked for, and for a set-based chunk then written.
const scans = 4;

describe.each(Object.keys(keys) as Kind[])('one row of 100,000 matching, %s', (kind) => {
  it.each(mixed)(
    'is done by %s in a few scans, where select %s',
    async (style, _drains, source) => {
      await withDatabase(async ({ url, client }) => {
        const pages = await createSparse(client, kind, 'i % 100000 = 77');
        const { outcome, read } = await upMeasured(url, client, { table: 't', source });
        expect(outcome.rows).toBe(few);
        expect(await changed(client)).toContainEqual({
          matches: source !== byRows(drained) && source !== bySets(drained),
          n: 1,
          count: few,
        });
        expect(read.rows, style).toBeLessThan(rows * scans);
        expect(read.pages, style).toBeLessThan(pages * scans);
      });
    },
    timeout,
  );

  it.each(mixed)(
    'is done by %s without a scan where an index of its own supports the select, which %s',
    async (_style, _drains, source) => {
      await withDatabase(async ({ url, client }) => {
        const pages = await createSparse(client, kind, 'i % 100000 = 77');
        await client.query('create index on t (kind) where kind is null; analyze t');
        const { outcome, read } = await upMeasured(url, client, { table: 't', source });
        expect(outcome.rows).toBe(few);
        expect(read.rows).toBeLessThan(rows / 100 + drawn * rowsInPage);
        expect(read.pages).toBeLessThan(pages / 10 + drawn);
      });
    },
    timeout,
  );
});

// The planner is told nothing of where they are: the first ones are found at once, then nothing comes any more.
describe('all that matches at the beginning', () => {
  it.each([styles[0], styles[2]])(
    'is done by %s in a few scans, where select %s',
    async (_style, _drains, source) => {
      await withDatabase(async ({ url, client }) => {
        const pages = await createSparse(client, 'keys with gaps of 10^12', `i <= ${rows / 8}`);
        const { outcome, read } = await upMeasured(url, client, { table: 't', source });
        expect(outcome.rows).toBe(rows / 8);
        // Each row that is written is read again by its key, and counted by it.
        expect(read.rows).toBeLessThan(rows * (scans + 1));
        expect(read.pages).toBeLessThan(pages * scans + (rows / 8) * 20);
      });
    },
    timeout,
  );
});

describe('a table all of whose rows are alike', () => {
  it.each(styles)(
    'is done by %s where select %s',
    async (_style, _drains, source) => {
      await withDatabase(async ({ url, client }) => {
        await createSparse(client, 'random keys', 'true');
        const { outcome } = await upMeasured(url, client, { table: 't', source, settings: { lanes: 2 } });
        expect(outcome.rows).toBe(rows);
        expect(await changed(client)).toMatchObject([{ n: 1, count: rows }]);
      });
    },
    timeout,
  );
});

describe('a search that takes longer than a statement may', () => {
  const slowRows = 700;

  it.each([
    ['rows', byRows('')],
    ['sets', bySets('')],
  ])(
    'is cut into shorter ones, sets nothing aside, and is seen to go on, by %s',
    async (_style, source) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(`
          create table t (id int primary key, kind text, n int not null default 0);
          insert into t select i, 'done' from generate_series(1, ${slowRows}) as i;
          update t set kind = null where id = ${slowRows};
          create function is_slow(kind text) returns boolean language plpgsql as
            $$ begin perform pg_sleep(0.001); return kind is null; end $$;
          analyze t`);
        const slow = source.replace(/whereNull\('kind'\)/, `whereRaw('public.is_slow(kind)')`);
        const settings = { statementTimeoutMs: 300, targetMs: 100 };
        const { outcome, progress, log } = await upMeasured(url, client, {
          table: 't',
          source: slow,
          settings,
        });
        expect(outcome.rows).toBe(1);
        expect((await client.query('select from umzug_cluster.quarantine')).rowCount).toBe(0);
        const { rows: n } = await client.query('select id from t where n = 1');
        expect(n).toEqual([{ id: slowRows }]);
        const shares = progress.map(({ fraction }) => fraction ?? 0);
        expect(shares, 'never back').toEqual(shares.toSorted((a, b) => a - b));
        const onTheWay = progress.filter(({ rowsDone, fraction }) => rowsDone === 0 && (fraction ?? 0) > 0);
        expect(onTheWay.length, 'seen to go on while nothing matches').toBeGreaterThan(1);
        if (source === byRows('')) {
          expect(log.filter(({ event }) => event === 'chunk.narrowed').length).toBeGreaterThan(0);
        }
      });
    },
    timeout,
  );
});
