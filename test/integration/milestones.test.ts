import { describe, expect, it } from 'vitest';
import type { BaseTable } from '../../src/migration/key/key.ts';
import { Session } from '../../src/postgres/session.ts';
import { chunkEnd } from '../../src/run/order/orders.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { runHere, visits } from '../support/visits.ts';

/**
 * Keys of a sample, at which large set-based chunks end: those of a table whose rows do not lie in the order of their
 * keys.
 */

const rows = 40_000;
// A prime: the multiples of another number come in no order, each once.
const shuffled = `(i::bigint * 7919 % 40009)`;

const keys: Readonly<Record<string, readonly [type: string, value: string]>> = {
  'random uuids': ['uuid', 'md5(i::text)::uuid'],
  'shuffled numbers': ['bigint', `${shuffled} - 20000`],
  'shuffled times': ['timestamptz', `timestamptz '1999-12-31' + ${shuffled} * interval '1.000001 hour'`],
  'numbers in their order': ['bigint', 'i'],
  'random texts': ['text', 'md5(i::text)'],
};

async function create(client: TestDatabase['client'], kind: string): Promise<void> {
  const [type, value] = keys[kind] ?? [];
  await client.query(`
    create table t (id ${type} primary key, n int not null default 0);
    insert into t (id) select ${value} from generate_series(1, ${rows}) as i`);
  await client.query('vacuum analyze t');
}

describe('a set-based migration of chunks that end at milestones', () => {
  it.each(Object.keys(keys))('has each row once, on two hosts and after interruptions: %s', async (kind) => {
    await withDatabase(async ({ url, client }) => {
      await create(client, kind);
      const source = (hook: string): string => `
        import { setBased } from 'umzug-cluster';
        export const select = (db) => db('t');
        export const update = setBased(async (chunk, db) => {
          await chunk.update({ n: db.raw('n + 1') });
          globalThis.${hook}?.();
        });`;
      const counted = await runHere(url, source, { hosts: 2, abortedAfter: [2, 4, 6] });
      expect(counted).toBe(rows);
      expect(await visits(client, 't')).toEqual({ 1: rows });
    });
  });
});

describe('a chunk of about so many keys', () => {
  it('ends at a key of the survey, and at one that is counted where rows lie in the order of their keys', async () => {
    await withDatabase(async ({ url, client }) => {
      await create(client, 'random uuids');
      const { rows: drawn } = await client.query<{ id: string }>(
        `select id::text from (select id, row_number() over (order by id) as n from t) as s where n % 40 = 0 order by id`,
      );
      const base: BaseTable = {
        oid: '0',
        schema: 'public',
        name: 't',
        key: [{ name: 'id', type: '"pg_catalog"."uuid"', attnum: 1, collation: '0' }],
        blocks: 1,
        estimatedRows: -1,
      };
      const listed = drawn.map(({ id }) => [id]);
      const survey = { rows, keys: listed, found: null, each: 1, isShuffled: true };
      const session = await Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
      const hi = ['ffffffff-ffff-ffff-ffff-ffffffffffff'];
      const left = { space: 'keys' as const, after: listed[99] ?? null, hi, at: 4_000, left: rows - 4_000 };
      const end = (keys: number, isShuffled = true): ReturnType<typeof chunkEnd> =>
        chunkEnd(session, { base, sql: '', survey: { ...survey, isShuffled } }, left, {
          keys,
          isRough: true,
        });
      expect(await end(8_000)).toEqual({ upTo: listed[299], isLast: false });
      expect(await end(8_010)).toEqual({ upTo: listed[299], isLast: false });
      expect(await end(8_010, false)).not.toEqual({ upTo: listed[299], isLast: false });
      expect(await end(60), 'too few for the survey to tell').not.toEqual({
        upTo: listed[101],
        isLast: false,
      });
      expect(await end(2 * rows)).toEqual({ upTo: hi, isLast: true });
      await session.end();
    });
  });
});
