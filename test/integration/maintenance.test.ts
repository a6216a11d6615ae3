import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { run, start, until } from '../support/cli.ts';
import { type TestDatabase, connect, onServer, withDatabase } from '../support/database.ts';
import { type WrittenRecord, recordsIn, recordsOf } from '../support/log-records.ts';
import { hurry, makeProject } from '../support/project.ts';

/** What an update leaves in the table besides its rows: dead versions, index entries, statistics that are out of date. */

const rows = 10_000;

const source = (options = '{}'): string => `
  import { setBased } from 'umzug-cluster';
  export const options = ${options};
  export const select = (db) => db('t').whereNull('slug');
  export const update = setBased((chunk, db) => chunk.update({ slug: db.raw('name || 1') }));`;

const createTable = (count: number): string => `
  create table t (id int primary key, name text not null default 'n', slug text)
    with (autovacuum_enabled = off, fillfactor = 40);
  insert into t (id) select generate_series(1, ${count});
  analyze t`;

async function up(
  url: string,
  options?: string,
): Promise<{ readonly stdout: string; readonly records: readonly WrittenRecord[] }> {
  const { dir } = makeProject({ 'a.ts': source(options) });
  const done = await run(['up', '--log-format', 'json', '--json', '--workers', '1'], { cwd: dir, url });
  expect(done.code, done.stderr).toBe(0);
  return { stdout: done.stdout, records: recordsIn(done.stderr) };
}

/** A role that owns nothing; `url` is its own. */
async function withRole(
  work: (on: {
    readonly role: string;
    readonly client: TestDatabase['client'];
    readonly url: string;
  }) => Promise<void>,
): Promise<void> {
  const role = `role_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  await withDatabase(async ({ url, client, name }) => {
    await client.query(
      `create role ${role} login password '${password}'; grant create on database ${name} to ${role}`,
    );
    const own = Object.assign(new URL(url), { username: role, password });
    await work({ role, client, url: own.href });
    await client.query(`drop owned by ${role} cascade`);
  });
  await onServer(`drop role ${role}`);
}

describe('the share of HOT updates', () => {
  it.each([
    ['all of them, where pages have room', '', 1],
    ['none, where an index holds what is set', '; create index on t (slug)', 0],
  ])('is %s', async (_case, index, share) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createTable(300)}${index}`);
      const { stdout } = await up(url);
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ rows: 300, hotShare: share }] });
    });
  });
});

/** The columns of which the planner knows the values as they are now. */
async function known(client: TestDatabase['client']): Promise<readonly string[]> {
  const { rows: found } = await client.query<{ name: string }>(
    `select attname::text as name from pg_stats where tablename = 't' and null_frac < 1 order by attname`,
  );
  return found.map(({ name }) => name);
}

describe('a table of which much was changed is analyzed at the end', () => {
  it('in the columns that were set, unless options.analyze is false', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable(rows));
      const { records } = await up(url, '{ analyze: false }');
      expect(recordsOf(records, 'run.analyzed')).toEqual([]);
      expect(await known(client)).not.toContain('slug');
      await client.query("update t set slug = null; delete from pg_statistic where starelid = 't'::regclass");
      await client.query('drop schema umzug_cluster cascade');
      const again = await up(url);
      expect(recordsOf(again.records, 'run.analyzed')).toMatchObject([{ columns: ['slug'] }]);
      expect(await known(client)).toEqual(['slug']);
    });
  });

  it('not after a purge, which fills no column', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable(rows));
      const { dir: cwd } = makeProject({
        'a.ts': `import { setBased } from 'umzug-cluster';
          export const options = { allowDelete: true };
          export const select = (db) => db('t');
          export const update = setBased((chunk) => chunk.delete());`,
      });
      const { code, stderr } = await run(['up', '--log-format', 'json'], { cwd, url });
      expect(code, stderr).toBe(0);
      expect(stderr).not.toMatch(/analyzed/);
      expect((await client.query('select from t')).rowCount).toBe(0);
    });
  });

  it('whole, where an index on an expression needs statistics, too', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createTable(rows)}; create index on t (lower(slug))`);
      const { records } = await up(url);
      expect(recordsOf(records, 'run.analyzed')).toMatchObject([{ columns: null }]);
    });
  });

  it('not where somebody holds a lock that it would wait for, which the log says', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable(rows));
      const other = await connect(url);
      await other.query('begin; lock table t in share update exclusive mode');
      const { records } = await up(url);
      await other.end();
      const [record] = recordsOf(records, 'run.unanalyzed');
      expect(record).toMatchObject({ reason: expect.stringMatching(/lock not available/) });
      expect(await known(client)).not.toContain('slug');
    });
  });

  it('not by a role that neither owns it nor may maintain it, which the log says', async () => {
    await withRole(async ({ role, client, url }) => {
      await client.query(`${createTable(rows)}; grant select, update on t to ${role}`);
      const { records } = await up(url);
      const [record] = recordsOf(records, 'run.unanalyzed');
      expect(record?.reason).toBe(`role "${role}" neither owns it nor has the right MAINTAIN on it`);
    });
  });
});

describe('options.vacuum', () => {
  const many = 30_000;
  const dead = `select n_dead_tup::int as dead from pg_stat_user_tables where relname = 't'`;
  // Chunks wait until the file is there.
  const slow = `
    import { existsSync as isThere } from 'node:fs';
    import { setBased } from 'umzug-cluster';
    export const options = { vacuum: true, chunkSize: 1000, analyze: false };
    export const select = (db) => db('t').whereNull('slug');
    export const update = setBased(async (chunk, db) => {
      if (!isThere(new URL('../enough', import.meta.url))) await db.raw('select pg_sleep(0.2)');
      await chunk.update({ slug: db.raw('name || 1') });
    });`;
  const args = ['up', '--log-format', 'json', '--workers', '1'];

  it('makes room while the run is at work', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable(many));
      const place = { cwd: makeProject({ 'a.ts': slow }).dir, url };
      const running = start(args, place);
      await until('it was vacuumed', async () => {
        const { rows: found } = await client.query<{ count: number }>(
          `select vacuum_count::int as count from pg_stat_user_tables where relname = 't'`,
        );
        return (found[0]?.count ?? 0) > 0;
      });
      const { rows: found } = await client.query<{ dead: number }>(dead);
      expect(found[0]?.dead).toBeLessThan(rows);
      hurry(place.cwd);
      const done = await running.outcome;
      expect(done.code, done.stderr).toBe(0);
      const [record] = recordsOf(recordsIn(done.stderr), 'run.vacuumed');
      expect(record?.dead).toBeGreaterThanOrEqual(rows);
    });
  });

  it.each([
    ['somebody waits for the table', 'begin; lock table t in share update exclusive mode; commit'],
    ['the run ends', 'select'],
  ])(
    'ends as soon as %s',
    async (_when, sql) => {
      await withDatabase(async ({ url, client, name }) => {
        await client.query(createTable(many));
        // a vacuum would take minutes
        await onServer(`alter database ${name} set vacuum_cost_delay = '100ms'`);
        await onServer(`alter database ${name} set vacuum_cost_limit = 1`);
        const isVacuumed = async (): Promise<boolean> => {
          const { rows: found } = await client.query(
            `select from pg_stat_activity where query like '%vacuum (skip_locked%' and state = 'active'
             and pid <> pg_backend_pid() and datname = current_database()`,
          );
          return found.length > 0;
        };
        const place = { cwd: makeProject({ 'a.ts': slow }).dir, url };
        const running = start(args, place);
        await until('it is being vacuumed', isVacuumed);
        await client.query(sql);
        hurry(place.cwd);
        const done = await running.outcome;
        expect(done.code, done.stderr).toBe(0);
        expect(await isVacuumed()).toBe(false);
        const { rows: found } = await client.query('select from t where slug is null');
        expect(found).toHaveLength(0);
      });
    },
    60_000,
  );

  it('is left out where the role may not, which the log says once', async () => {
    await withRole(async ({ role, client, url }) => {
      await client.query(`${createTable(many)}; grant select, update on t to ${role}`);
      const place = { cwd: makeProject({ 'a.ts': slow }).dir, url };
      const running = start(args, place);
      await until('enough rows are dead', async () => {
        const { rows: found } = await client.query<{ dead: number }>(dead);
        return (found[0]?.dead ?? 0) > 2 * rows;
      });
      hurry(place.cwd);
      const done = await running.outcome;
      expect(done.code, done.stderr).toBe(0);
      expect(recordsOf(recordsIn(done.stderr), 'run.unvacuumed')).toMatchObject([
        { reason: `role "${role}" neither owns it nor has the right MAINTAIN on it` },
      ]);
    });
  });
});
