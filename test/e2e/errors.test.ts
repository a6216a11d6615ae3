import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../support/cli.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const table = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 1000);
  analyze t`;
const sum = 'select sum(n)::int as sum, max(n)::int as max from t';

const select = `export const select = (db) => db('t').select('id');`;
const increment = (n: number): string =>
  `db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + (?)', [${n}]) })`;
const update = `export const update = (db, rows) => ${increment(1)};`;
const down = `export const down = { select, update: (db, rows) => ${increment(-1)} };`;
const throwing = `export const update = async (db, rows) => {
  await ${increment(1)};
  if (rows.some(({ id }) => id === 700)) throw new Error('row 700 is on strike');
};`;

const one = ['--workers', '1', '--chunk-size', '50'];

interface Status {
  readonly migrations: readonly object[];
}

/** One message for a person: no stack, no second error. */
function expectMessage({ code, stdout, stderr }: Outcome, exit: number, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect({ code, stdout }).toEqual({ code: exit, stdout: '' });
  expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(stderr.match(/^error: /gm)).toHaveLength(1);
}

/** A port of this machine where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a migration that fails', () => {
  it('exits with 1, names the migration and the row, keeps all others, and goes on with retry', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${table}; create table strike (id int); insert into strike values (700)`);
      const source = `${select}
        export const update = async (db, rows) => {
          await ${increment(1)};
          const [{ id } = {}] = await db('strike').select('id');
          if (rows.some((row) => row.id === id)) throw new Error('row is on strike');
        };`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const failed = await run(['up', ...one], place);
      expectMessage(failed, 1, /^error: .*\ba\b.*/m);
      expect(failed.stderr).toContain('row is on strike');
      const kept = (await client.query<{ sum: number; max: number }>(sum)).rows[0];
      expect(failed.stderr).toMatch(/^ {2}row 700: /m);
      expect(kept, 'all others are migrated, once').toEqual({ sum: 999, max: 1 });
      const { rows } = await client.query('select n from t where id = 700');
      expect(rows).toEqual([{ n: 0 }]);

      const status = await run(['status', '--json'], place);
      expect(JSON.parse(status.stdout)).toMatchObject({ migrations: [{ name: 'a', state: 'failed' }] });

      await client.query('delete from strike');
      expect(await run(['retry', 'a', ...one], place)).toMatchObject({ code: 0 });
      expect((await client.query(sum)).rows).toEqual([{ sum: 1000, max: 1 }]);
    });
  });

  it('refuses a file that changed while its run is in progress with 3, and goes down', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const project = makeProject({ 'a.ts': `${select}\n${throwing}\n${down}` });
      const place = { cwd: project.dir, url };
      expect(await run(['up', ...one], place)).toMatchObject({ code: 1 });

      project.write('a.ts', `${select}\n${update}\n${down}`);
      const before = (await client.query(sum)).rows;
      expectMessage(await run(['up', ...one], place), 3, /^error: .*\ba\b.*changed/m);
      expect((await client.query(sum)).rows, 'nothing was run').toEqual(before);

      expect(await run(['down', ...one], place)).toMatchObject({ code: 0 });
      expect((await client.query(sum)).rows).toEqual([{ sum: 0, max: 0 }]);
      expect(await run(['up', ...one], place)).toMatchObject({ code: 0 });
      expect((await client.query(sum)).rows).toEqual([{ sum: 1000, max: 1 }]);
    });
  });

  it.each([
    ['forgets await', `(db, rows) => { ${increment(1)}.then(() => undefined); }`, /still running|await/],
    ['forgets return', `(db, rows) => { ${increment(1)}; }`, /ran no statement on db/],
    ['forgets await in a loop', `async (db, rows) => rows.forEach(async () => db.raw('select 1'))`, /await/],
    ['swallows a SQL error', `(db) => db.raw('select 1 / 0').catch(() => undefined)`, /caught a SQL error/],
    ['commits', `(db) => db.raw('commit')`, /must not run COMMIT/],
    ['runs broken SQL', `(db) => db.raw('selct 1')`, /syntax error/],
    ['throws what is no error', `() => { throw undefined; }`, /non-Error/],
  ])('exits with 1 and changes nothing where update %s', async (_what, code, message) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { dir } = makeProject({ 'a.ts': `${select}\nexport const update = ${code};` });
      expectMessage(await run(['up', ...one], { cwd: dir, url }), 1, /^error: .*\ba\b/m);
      expect((await run(['up', ...one], { cwd: dir, url })).stderr).toMatch(message);
      expect((await client.query(sum)).rows).toEqual([{ sum: 0, max: 0 }]);
    });
  });

  it('leaves nothing of a schema migration that fails', async () => {
    await withDatabase(async ({ url, client }) => {
      const source = `export const up = async (db) => {
        await db.schema.createTable('x', (t) => t.integer('id'));
        await db.raw('select 1 / 0');
      };`;
      const failed = await run(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expectMessage(failed, 1, /^error: .*\ba\b/m);
      expect(failed.stderr).toContain('division by zero');
      expect((await client.query(`select to_regclass('x') as x`)).rows).toEqual([{ x: null }]);
    });
  });
});

describe('what cannot be done', () => {
  it('refuses down of a migration without down, with 2', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { dir } = makeProject({ 'a.ts': `${select}\n${update}` });
      expect(await run(['up', ...one], { cwd: dir, url })).toMatchObject({ code: 0 });
      expectMessage(await run(['down'], { cwd: dir, url }), 2, /^error: .*\ba\b.*down/m);
      expect((await client.query(sum)).rows).toEqual([{ sum: 1000, max: 1 }]);
    });
  });

  it.each([
    ['no table', `export const select = (db) => db('nope').select('id'); ${update}`, /nope/],
    ['a limit', `export const select = (db) => db('t').select('id').limit(5); ${update}`, /limit/],
    ['no update', select, /update/],
    ['a syntax error', 'export const select = (', /a\.ts/],
  ])('refuses a file with %s, with 2, and leaves no run', async (_what, source, message) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      expectMessage(await run(['up'], place), 2, message);
      expect((await client.query(sum)).rows).toEqual([{ sum: 0, max: 0 }]);
      const { migrations } = JSON.parse((await run(['status', '--json'], place)).stdout) as Status;
      expect(migrations).toMatchObject([{ name: 'a', state: 'pending', direction: null }]);
    });
  });

  it('refuses wrong usage and no database with 2', async () => {
    const { dir: cwd } = makeProject({ 'a.ts': `${select}\n${update}` });
    expectMessage(await run(['up', '--nope'], { cwd, url: null }), 2, /unknown flag "--nope"/);
    expectMessage(await run(['up'], { cwd, url: null }), 2, /no database is configured/);
  });
});

describe('a database that is not there', () => {
  const env = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '300' };

  it.each(['up', 'down', 'pending', 'executed', 'status'])(
    'exits %s with 4, without password',
    async (verb) => {
      const { dir: cwd } = makeProject({ 'a.ts': `${select}\n${update}` });
      const url = `postgres://someone:hunter2@127.0.0.1:${await closedPort()}/nope`;
      expectMessage(await run([verb], { cwd, url, env }), 4, /^error: .*127\.0\.0\.1/m);
      for (const flags of [[], ['--json'], ['--verbose']]) {
        const { code, stdout, stderr } = await run([verb, ...flags], { cwd, url, env });
        expect(code).toBe(4);
        expect(stdout + stderr).not.toContain('hunter2');
      }
    },
  );

  it.each(['password', 'database'])('exits with 4 for a wrong %s', async (part) => {
    await withDatabase(async (db) => {
      const url = new URL(db.url);
      if (part === 'password') url.password = 'hunter2';
      else url.pathname = '/nope';
      const { dir: cwd } = makeProject({ 'a.ts': `${select}\n${update}` });
      const outcome = await run(['up', '--verbose'], { cwd, url: url.href, env });
      expect(outcome).toMatchObject({ code: 4, stdout: '' });
      expect(outcome.stderr).not.toContain('hunter2');
      expectMessage(await run(['up'], { cwd, url: url.href, env }), 4, new RegExp(part));
    });
  });
});
