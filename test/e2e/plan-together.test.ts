import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Outcome, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { type Plan, planIn, plansOf } from '../support/planned.ts';
import { makeProject } from '../support/project.ts';

const people = `
  create table people (id bigint primary key, name text not null);
  insert into people select i, 'Ann ' || i from generate_series(1, 500) as i;
  analyze people`;
const expand = `export const up = (db) => db.schema.alterTable('people', (t) => t.text('slug'));`;
const fill = `
  export const select = (db) => db('people').select('id').whereNull('slug');
  export const update = (db, rows) =>
    db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: db.raw('lower(name)') });`;
const contract = `export const up = (db) => db.raw('alter table people alter column slug set not null');`;
const concurrently = `
  export const options = { transaction: false };
  export const up = (db) => db.raw('create unique index concurrently people_slug on people (slug)');`;
const drop = `export const up = (db) => db.schema.alterTable('people', (t) => t.dropColumn('name'));`;
/** Reads a column of people. */
const reading = (column: string): string => `
  export const select = (db) => db('people').select('id', '${column}');
  export const update = (db, rows) =>
    db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: 'x' });`;

/** All that is in the schemas of a database, and its rows. */
async function everything(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select md5(string_agg(p::text, ',' order by id)) from people as p) as people,
            (select string_agg(attrelid::regclass || '.' || attname, ',' order by attrelid, attnum)
             from pg_attribute join pg_class on pg_class.oid = attrelid where relname not like 'pg\\_%') as columns`,
  );
  return rows[0];
}

const plan = (dir: string, url: string, ...flags: string[]): Promise<Outcome> =>
  runInProcess(['plan', '--json', ...flags], dir, { DATABASE_URL: url });

/** What can be compared of each migration. */
const shown = (plans: readonly Plan[]): unknown =>
  plans.map(({ name, after, blockedBy, unplanned, error }) => [
    name,
    { after, blockedBy, unplanned, error: (error as { message: string } | null)?.message ?? null },
  ]);
const none = { after: [], blockedBy: null, unplanned: null, error: null };

describe('plan of a list', () => {
  it('tries schema migrations, samples what follows on top of them, names what cannot be tried, leaves nothing', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(people);
      const before = await everything(client);
      const { dir } = makeProject({
        '1-expand.ts': expand,
        '2-fill.ts': fill,
        '3-contract.ts': contract,
        '4-index.ts': concurrently,
        '5-drop.ts': drop,
        '6-late.ts': reading('slug'),
      });
      const { code, stdout } = await plan(dir, url);
      expect(code, stdout).toBe(0);
      const plans = plansOf(stdout);
      const after = ['1-expand'];
      expect(shown(plans)).toEqual([
        ['1-expand', none],
        ['2-fill', { ...none, after }],
        [
          '3-contract',
          {
            ...none,
            after,
            blockedBy: '2-fill',
            unplanned: expect.stringContaining('column "slug" of relation "people" contains null values'),
          },
        ],
        [
          '4-index',
          { ...none, after, unplanned: 'it runs without a transaction, so nothing could roll it back' },
        ],
        ['5-drop', { ...none, after }],
        ['6-late', { ...none, after: ['1-expand', '5-drop'] }],
      ]);
      const locks = ['AccessExclusiveLock on public.people'];
      expect(plans[0]?.['schema']).toMatchObject({
        locks,
        statements: ['alter table "people" add column "slug" text'],
      });
      expect(plans[1]?.sample).toMatchObject({
        rows: 100,
        examples: [{ key: ['1'], before: { slug: null }, after: { slug: 'ann 1' } }, {}, {}],
      });
      // The lock is that of the schema migration, not of the chunk.
      expect(plans[1]?.warnings).toEqual([]);
      expect(planIn(stdout).trial).toEqual({ durationMs: expect.any(Number), gaveWay: null });
      const one = await plan(dir, url, '2-fill');
      expect(shown(plansOf(one.stdout))).toEqual([['2-fill', { ...none, after }]]);
      expect(await everything(client)).toEqual(before);
    });
  });

  it('says what is wrong with one as up would, and plans the others', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(people);
      const { dir } = makeProject({
        '1-wrong.ts': `export const up = (db) => db.raw('alter table people add column');`,
        '2-drop.ts': drop,
        '3-gone.ts': reading('name'),
        '4-expand.ts': expand,
        '5-fill.ts': reading('slug'),
        // After a backfill, but none of its business.
        '6-commit.ts': `export const up = (db) => db.raw('commit');`,
        '7-rows.ts': `export const up = () => { throw new Error('not all is filled'); };`,
      });
      const { code, stdout } = await plan(dir, url);
      expect(code).toBe(1);
      const found = Object.fromEntries(
        plansOf(stdout).map(({ name, error, blockedBy, sample }) => [
          name,
          { code: (error as { code: string } | null)?.code, blockedBy, isSampled: sample !== null },
        ]),
      );
      expect(found).toEqual({
        '1-wrong': { code: 'MIGRATION_FAILED', blockedBy: null, isSampled: false },
        '2-drop': { code: undefined, blockedBy: null, isSampled: false },
        // The one that could not be tried may make the column.
        '3-gone': { code: undefined, blockedBy: '1-wrong', isSampled: false },
        '4-expand': { code: undefined, blockedBy: null, isSampled: false },
        '5-fill': { code: undefined, blockedBy: null, isSampled: true },
        '6-commit': { code: 'MIGRATION_FAILED', blockedBy: null, isSampled: false },
        '7-rows': { code: undefined, blockedBy: '5-fill', isSampled: false },
      });
    });
  });

  it('has each schema migration begin as with a transaction of its own, and checked as at its COMMIT', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${people}; create table pets (
        id bigint primary key, owner bigint references people deferrable initially deferred);
        create type kind as enum ('dog')`);
      const insert = (owner: number): string =>
        `export const up = (db) => db.raw('insert into pets values (${owner}, ${owner})');`;
      const { dir } = makeProject({
        '1-pet.ts': insert(7),
        // Refused where rows of the table wait for a check.
        '2-name.ts': `export const up = async (db) => {
          await db.raw("set local lock_timeout = '77s'");
          await db.raw('alter table pets add column name text');
        };`,
        '3-look.ts': `export const up = async (db) => {
          const { rows } = await db.raw('show lock_timeout');
          if (rows[0].lock_timeout === '77s') throw new Error('not as it should be');
        };`,
        '4-wrong.ts': insert(7_000),
        '5-kind.ts': `export const up = (db) => db.raw("alter type kind add value 'cat'");`,
        '6-use.ts': `export const up = (db) => db.raw("alter table pets add column kind kind default 'cat'");`,
      });
      const { stdout } = await plan(dir, url);
      expect(shown(plansOf(stdout))).toEqual([
        ['1-pet', none],
        ['2-name', { ...none, after: ['1-pet'] }],
        ['3-look', { ...none, after: ['1-pet', '2-name'] }],
        [
          '4-wrong',
          {
            ...none,
            after: ['1-pet', '2-name', '3-look'],
            error: expect.stringContaining('violates foreign key constraint "pets_owner_fkey"'),
          },
        ],
        ['5-kind', { ...none, after: ['1-pet', '2-name', '3-look'] }],
        [
          '6-use',
          {
            ...none,
            after: ['1-pet', '2-name', '3-look', '5-kind'],
            blockedBy: '5-kind',
            unplanned: expect.stringContaining('unsafe use of new value "cat"'),
          },
        ],
      ]);
      expect((await client.query('select from pets')).rowCount).toBe(0);
    });
  });

  it('does not wait for a lock, names it and who has it, and says what that leaves unplanned', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(people);
      const { dir } = makeProject({ '1-expand.ts': expand, '2-fill.ts': fill });
      await client.query('begin; select from people limit 1');
      const { code, stdout } = await plan(dir, url);
      await client.query('rollback');
      expect(code, stdout).toBe(0);
      expect(shown(plansOf(stdout))).toEqual([
        [
          '1-expand',
          {
            ...none,
            unplanned: expect.stringMatching(
              /^its lock was not to be had at once: AccessExclusiveLock on public\.people, behind /,
            ),
          },
        ],
        ['2-fill', { ...none, blockedBy: '1-expand' }],
      ]);
    });
  });

  it('gives way as soon as anybody waits for a lock that it holds', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(people);
      const slow = fill.replace(
        '(db, rows) =>',
        `async (db, rows) => { for (let i = 0; i < 50; i += 1) await db.raw('select pg_sleep(1)'); return `,
      );
      const { dir } = makeProject({
        '1-expand.ts': expand,
        '2-fill.ts': slow.replace(/;\s*$/, '; };'),
        '3-drop.ts': drop,
      });
      const planning = plan(dir, url);
      await until('its lock is held', async () => {
        const { rowCount } = await client.query(
          `select from pg_locks where relation = 'people'::regclass and mode = 'AccessExclusiveLock' and granted`,
        );
        return rowCount === 1;
      });
      expect((await client.query('select from people')).rowCount).toBe(500);
      const { code, stdout } = await planning;
      expect(code, stdout).toBe(0);
      const why = expect.stringMatching(
        /^the plan gave way: process \d+ of the server waited for AccessShareLock on public\.people$/,
      ) as string;
      expect(planIn(stdout).trial?.gaveWay).toMatch(/waited for AccessShareLock on public\.people$/);
      expect(shown(plansOf(stdout))).toEqual([
        ['1-expand', none],
        ['2-fill', { ...none, unplanned: why }],
        ['3-drop', { ...none, unplanned: why }],
      ]);
    });
  });
});
