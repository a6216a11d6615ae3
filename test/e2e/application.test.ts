import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { run, start } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const root = path.join(import.meta.dirname, '..', '..');
const table = 'create table t (id bigint primary key, n int not null default 0)';
const migration = `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) =>
    db('t').whereRaw('id = any (?)', [rows.map((row) => row.id)]).update({ n: db.raw('n + 1') });
  export const down = { select, update: (db, rows) =>
    db('t').whereRaw('id = any (?)', [rows.map((row) => row.id)]).update({ n: db.raw('n - 1') }) };`;

describe('an application that migrates at its start', () => {
  it('runs, lists and reverts through createMigrator', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(1, 5000)');
      const { dir } = makeProject({ 'a.ts': migration });
      const script = `
        import { createMigrator } from ${JSON.stringify(path.join(root, 'dist/index.js'))};
        const migrator = await createMigrator({ databaseUrl: ${JSON.stringify(url)} });
        const events = [];
        for (const name of ['migrating', 'migrated', 'reverting', 'reverted']) {
          migrator.on(name, (ref) => events.push(name + ' ' + ref.name));
        }
        let rowsDone = 0;
        migrator.on('progress', (progress) => { rowsDone = progress.rowsDone; });
        const pending = (await migrator.pending()).map(({ name }) => name);
        const up = await migrator.up();
        const executed = (await migrator.executed()).map(({ name }) => name);
        const { migrations } = await migrator.status();
        const down = await migrator.down();
        await migrator.close();
        console.log(JSON.stringify({ pending, executed, events, rowsDone,
          state: migrations[0].state, rows: [up[0].rows, down[0].rows] }));`;
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        cwd: dir,
        encoding: 'utf8',
      });
      expect(JSON.parse(output)).toEqual({
        pending: ['a'],
        executed: ['a'],
        events: ['migrating a', 'migrated a', 'reverting a', 'reverted a'],
        rowsDone: 5000,
        state: 'executed',
        rows: [5000, 5000],
      });
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 0 }]);
    });
  });
});

describe('a transaction that was writing when up began', () => {
  it('is waited for and named, and the low key that it inserted is migrated', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      await client.query('insert into t select generate_series(100, 200)');
      await client.query('begin');
      await client.query('insert into t values (1)');
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const { dir } = makeProject({ 'a.ts': migration });
      const up = start(['up'], { cwd: dir, url });
      await up.says(new RegExp(`waiting for transaction of pid ${rows[0]?.pid}`));
      await client.query('commit');
      expect(await up.outcome).toMatchObject({ code: 0 });
      expect((await client.query('select n, count(*)::int from t group by n')).rows).toEqual([
        { n: 1, count: 102 },
      ]);
    });
  });
});

describe('memory', () => {
  it('of the largest process stays flat from 10,000 to 1,000,000 rows', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const file = migration
        .replace('update =', `update = async`)
        .replace('=>\n    db(', '=> {\n    await db(');
      const measured = file.replace(
        "n + 1') });",
        `n + 1') });
    const { maxRSS } = process.resourceUsage();
    await db.raw('insert into peaks values (?, ?)', [process.pid, maxRSS]);
  };`,
      );
      await client.query('create table peaks (pid int, kib int)');
      const peaks: number[] = [];
      for (const [index, rows] of [10_000, 1_000_000].entries()) {
        await client.query('truncate t, peaks');
        await client.query('insert into t select generate_series(1, $1::int)', [rows]);
        await client.query('analyze t');
        const { dir } = makeProject({ [`a${index}.ts`]: measured });
        const { code, stderr } = await run(['up', '--allow-out-of-order'], { cwd: dir, url });
        expect(code, stderr).toBe(0);
        const { rows: found } = await client.query<{ kib: number }>('select max(kib) as kib from peaks');
        peaks.push(found[0]?.kib ?? 0);
      }
      const [small = 0, large = 0] = peaks;
      // A hundred times the rows; what grows is V8's young garbage, not the table.
      expect(large).toBeLessThan(small * 2.5);
    });
  });

  it('bounds a chunk of wide rows by bytes, from the first one on', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`
        create table wide (id int primary key, body text, n int not null default 0);
        alter table wide alter body set storage external;
        insert into wide select i, repeat('x', 100000) from generate_series(1, 600) as i;
        analyze wide; create table chunks (rows int)`);
      const source = `
        export const select = (db) => db('wide').select('id', 'body');
        export const update = async (db, rows) => {
          await db('wide').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n + 1') });
          await db('chunks').insert({ rows: rows.length });
        };`;
      const env = { UMZUG_CLUSTER_MAX_BYTES: '2000000' };
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url, env };
      const { code, stderr } = await run(['up'], place);
      expect(code, stderr).toBe(0);
      const { rows } = await client.query(
        'select max(rows) <= 20 as bounded, sum(rows)::int as sum from chunks',
      );
      expect(rows).toEqual([{ bounded: true, sum: 600 }]);
    });
  });
});
