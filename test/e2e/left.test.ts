import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** What a run says of rows that it has left behind: those that came while it went on, and out of its scope. */

const rows = 1_000;

// Past the last key that there was when the run began: out of its scope, whatever its lanes do when.
const createTable = `
  create table t (id bigint primary key, version int);
  create sequence late start 1000000;
  insert into t (id) select generate_series(1, ${rows});
  analyze t;`;

const drains = `export const select = (db) => db('t').select('id').whereNull('version');`;
const matchesAll = `export const select = (db) => db('t').select('id');`;
const change = `db('t').whereIn('id', rows.map(({ id }) => id)).update({ version: 2 })`;
const update = `export const update = (db, rows) => ${change};`;
/** For every chunk the application, which is another process, inserts a row. */
const updateWhileInserted = `
  import { execFile } from 'node:child_process';
  import { promisify } from 'node:util';
  const application = \`
    const { Client } = require(${JSON.stringify(createRequire(import.meta.url).resolve('pg'))});
    const client = new Client(process.env.DATABASE_URL);
    client.connect().then(() => client.query("insert into t (id) select nextval('late')")).then(() => client.end());\`;
  const insert = () => promisify(execFile)(process.execPath, ['-e', application]);
  export const update = async (db, rows) => {
    await ${change};
    await insert();
  };`;

const flags = ['up', '--workers', '1', '--chunk-size', '250', '--log-format', 'json'];

describe('rows that the application inserts behind a run', () => {
  it('are counted, warned of and named in the summary, with what to type', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const place = { cwd: makeProject({ 'a.ts': drains + updateWhileInserted }).dir, url };
      const { code, stdout, stderr } = await run(flags, place);
      expect(code, stderr).toBe(0);
      const { rows: found } = await client.query('select count(*)::int as n from t where version is null');
      const { n } = found[0] as { n: number };
      expect(n).toBeGreaterThan(1);
      expect(stdout).toMatch(
        new RegExp(`^a: 1,000 rows in .*\n  ${n} rows are left: .*umzug-cluster verify a\\.`),
      );
      expect(stderr).toMatch(new RegExp(`"event":"run.left".*"migration":"a","rows":${n}\\b`));
      const verified = await run(['verify', 'a'], place);
      expect(verified).toMatchObject({ code: 1, stdout: `a  data  ${n} rows are left\n` });
    });
  });

  it('are in the answer to a program', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const { dir } = makeProject({ 'a.ts': drains + updateWhileInserted });
      const { stdout } = await run([...flags, '--json'], { cwd: dir, url });
      const { rows: found } = await client.query('select count(*)::int as left from t where version is null');
      expect(JSON.parse(stdout)).toMatchObject({ migrations: found });
    });
  });

  it('are asked of verify where there is one, though select goes on matching', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const verify = `export const verify = (db) => db('t').where('id', '>', ${rows}).whereNull('version').limit(3);`;
      const { dir } = makeProject({ 'a.ts': matchesAll + updateWhileInserted + verify });
      const { stdout, stderr } = await run([...flags, '--json'], { cwd: dir, url });
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ left: 3 }] });
      expect(stderr).toMatch(/"event":"run.left".*"rows":3\b/);
    });
  });
});

const updateWhileDeleted = `
  export const options = { allowDelete: true };
  export const update = async (db, rows) => {
    await ${change};
    await db('t').where('id', rows[0].id).del();
  };`;
const asking = (condition: string): string => `
  export const verify = (db) => db('t').whereRaw(${JSON.stringify(condition)});`;

const nothingToSay: Readonly<Record<string, readonly [source: string, left: number | null]>> = {
  'no-row-is-left': [drains + update, 0],
  'no-row-was-migrated': [drains + update, null],
  sweeps: [`${drains + update} export const options = { sweep: true };`.replaceAll('version', 'swept'), 0],
  'does-not-drain': [matchesAll + updateWhileInserted, null],
  'does-not-drain-and-rows-are-deleted': [matchesAll + updateWhileDeleted, null],
  'takes-longer-than-2-s': [matchesAll + update + asking('pg_sleep(0.1) is null'), null],
  'loses-the-connection': [matchesAll + update + asking('pg_terminate_backend(pg_backend_pid())'), null],
  'is-refused': [matchesAll + update + asking('nothing = 1'), null],
  'runs-its-query': [`${matchesAll + update} export const verify = async (db) => await db('t').del();`, null],
};

describe('nothing is said', () => {
  it('where nothing is left, nobody can know, or asking goes wrong; the runs are done, and those behind them', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createTable} alter table t add column swept int`);
      const files = Object.entries(nothingToSay).map(([name, [source]], at) => [`${at}-${name}.ts`, source]);
      const place = { cwd: makeProject(Object.fromEntries(files) as Record<string, string>).dir, url };
      const { code, stdout, stderr } = await run([...flags, '--json'], place);
      expect(code, stderr).toBe(0);
      const { migrations } = JSON.parse(stdout) as { migrations: { name: string; left: number | null }[] };
      expect(migrations.map(({ name, left }) => [name.slice(2), left])).toEqual(
        Object.entries(nothingToSay).map(([name, [, left]]) => [name, left]),
      );
      expect(stderr).not.toContain('"run.left"');
      const { rows: found } = await client.query('select count(*)::int as n from t');
      expect((found[0] as { n: number }).n).toBeGreaterThan(rows / 2);
    });
  });

  it('on the way down', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTable);
      const down = `export const down = { select: (db) => db('t').where('version', 2), update };`;
      const place = { cwd: makeProject({ 'a.ts': drains + updateWhileInserted + down }).dir, url };
      expect((await run(flags, place)).stdout).toMatch(/rows are left/);
      const { code, stdout } = await run(['down', '--json'], place);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ left: null }] });
    });
  });
});
