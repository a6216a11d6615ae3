import { describe, expect, it } from 'vitest';
import type { RunPlan } from '../../src/ledger/rows.ts';
import type { KeyColumn } from '../../src/migration/key.ts';
import { Session } from '../../src/postgres/session.ts';
import { milestone } from '../../src/run/milestones.ts';
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

const planOf = (type: string, more: Partial<KeyColumn> = {}): RunPlan => ({
  base: {
    oid: '0',
    schema: 'public',
    name: 't',
    key: [{ name: 'id', type: `"pg_catalog"."${type}"`, attnum: 1, collation: '0', ...more }],
    estimatedRows: rows,
    rowBytes: 0,
  },
  sql: '',
});

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

describe('a milestone', () => {
  it('is a key about so many keys further, and none where the rest is shorter', async () => {
    await withDatabase(async ({ url, client }) => {
      await create(client, 'random uuids');
      const session = await Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
      const plan = planOf('uuid');
      const to = ['ffffffff-ffff-ffff-ffff-ffffffffffff'];
      const from = ['40000000-0000-0000-0000-000000000000'];
      const found = await milestone(session, plan, { from, to, keys: 8_000 });
      const between = 'select count(*)::int as count from t where id > $1 and id <= $2';
      const { rows: counted } = await client.query<{ count: number }>(between, [from[0], found?.[0]]);
      expect(counted[0]?.count).toBeGreaterThan(4_000);
      expect(counted[0]?.count).toBeLessThan(16_000);
      expect(
        await milestone(session, plan, { from: found as readonly string[], to: from, keys: 8_000 }),
      ).toBe('last');
      expect(await milestone(session, plan, { from: null, to, keys: 2 * rows })).toBe('last');
      expect(await milestone(session, plan, { from: null, to, keys: 500 })).toBeNull();
      await session.end();
    });
  });

  it('is not looked for where rows lie in the order of their keys, or the key has an order of its own', async () => {
    await withDatabase(async ({ url, client }) => {
      await create(client, 'numbers in their order');
      const session = await Session.open({ connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 });
      const range = { from: null, to: ['40000'], keys: 8_000 };
      expect(await milestone(session, planOf('int8'), range)).toBeNull();
      expect(await milestone(session, planOf('text', { collation: '100@2.36' }), range)).toBeNull();
      await session.end();
    });
  });
});
