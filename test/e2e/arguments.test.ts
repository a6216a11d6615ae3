import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Place, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { hurry, makeProject } from '../support/project.ts';
import { reported } from '../support/tested.ts';

const root = path.join(import.meta.dirname, '..', '..');
const page = readFileSync(path.join(root, 'docs/arguments.md'), 'utf8');
const [, example = '', source = ''] = /```ts\n\/\/ migrations\/(\S+)\n([\s\S]*?)```/.exec(page) ?? [];
const name = example.replace(/\.ts$/, '');

const tables = `
  create table orders (id int primary key, tenant text not null, placed_on date not null, discount int not null);
  insert into orders select n, case when n % 2 = 0 then 'acme' else 'other' end, '2026-01-01', 0
    from generate_series(1, 400) as n;
  analyze orders`;

// Each statement takes so long that the run can be killed in the middle.
const slow = `
  create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return null; end $$;
  create trigger wait after update on orders for each statement execute function wait()`;

async function discounts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    'select tenant, discount, count(*)::int as rows from orders group by 1, 2 order by 1, 2',
  );
  return rows;
}

it('the example of the guide has the same arguments after a crash, on another host, and on the way back', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${tables}; ${slow}`);
    const place = { cwd: makeProject({ [example]: source }).dir, url };
    const other = { cwd: makeProject({ [example]: source }).dir, url };
    const up = start(['up', '--arg', 'tenant=acme', '--arg', 'percent=15', '--chunk-size', '20'], place);
    await until('a chunk is committed', async () => (await rowsDone(client)) > 0);
    killGroup(up.pid);
    await up.outcome;
    await client.query('drop trigger wait on orders');

    const percent = await run(['up', '--arg', 'percent=10'], other);
    expect(percent).toMatchObject({ code: 3 });
    expect(percent.stderr).toContain('the argument "percent" is 10, and its run began with 15');
    expect(percent.stderr).toContain('leave out --arg percent');
    const variable = await run(['up'], { ...other, env: { UMZUG_CLUSTER_ARG_TENANT: 'other' } });
    expect(variable).toMatchObject({ code: 3 });
    const before = await run(['up', '--arg', 'before=2026-01-31'], other);
    expect(before).toMatchObject({ code: 3 });
    expect(before.stderr).toContain('began with no value');
    expect(await run(['plan', '--arg', 'percent=10'], other)).toMatchObject({ code: 3 });

    expect(await run(['up'], other)).toMatchObject({ code: 0 });
    expect(await discounts(client)).toEqual([
      { tenant: 'acme', discount: 15, rows: 200 },
      { tenant: 'other', discount: 0, rows: 200 },
    ]);
    expect(await run(['verify'], other)).toMatchObject({ code: 1 });
    expect((await run(['history'], other)).stdout).toContain('tenant=acme');
    expect(await run(['down', '--arg', `${name}:percent=1`], place)).toMatchObject({ code: 3 });
    const down = await run(['down'], place);
    expect(down.code, down.stderr).toBe(0);
    expect(await discounts(client)).toEqual([
      { tenant: 'acme', discount: 0, rows: 200 },
      { tenant: 'other', discount: 0, rows: 200 },
    ]);
    const again = await run(['up', '--arg', 'tenant=other', '--arg', 'before=2025-01-01'], place);
    expect(again.code, again.stderr).toBe(0);
    expect(await run(['up', '--arg', 'nothing=1'], place)).toMatchObject({ code: 2 });
  });
});

describe('before anything begins', () => {
  const later = `export const options = { args: { tenant: {}, kind: { choices: ['a', 'b'] }, at: { type: 'timestamptz' } } };
    export const select = (db) => db('orders').select('id');
    export const update = (db) => db('orders').update({ discount: 1 });`;

  it.each<readonly [args: readonly string[], message: string, hint: string]>([
    [[], `${name} needs "tenant"`, 'add --arg tenant=VALUE, or set UMZUG_CLUSTER_ARG_TENANT'],
    [['--arg', 'tenant'], '--arg needs a name and a value', '--arg tenant=acme'],
    [['--arg', 'tennant=acme'], 'no migration declares the argument "tennant"', 'did you mean "tenant"?'],
    [['--arg', 'disc:tenent=acme'], 'disc does not declare the argument "tenent"', 'did you mean "tenant"?'],
    [['--arg', 'nothing:tenant=acme'], 'no known migration is named "nothing"', ''],
    [['--arg', 'tenant=a', '--arg', 'tenant=b'], '--arg tenant is given more than once', 'give it once'],
    [['--arg', 'tenant=a', '--arg', 'percent=1.5'], '"percent" must be a whole number', ''],
    [['--arg', 'tenant=a', '--arg', 'before=2026-02-30'], '"before" must be a date', ''],
    [['--arg', 'tenant=a', '--arg', 'kind=c'], '"kind" must be one of a, b: got "c"', ''],
    [['--arg', 'tenant=a', '--arg', 'at=2026-01-31T09:00:00'], '"at" must be a time with its zone', ''],
    [['--arg', 'later:tenant=a'], `${name} needs "tenant"`, ''],
  ])('%s is refused', async (args, message, hint) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const { code, stderr } = await run(['up', ...args], {
        cwd: makeProject({ [example]: source, '2027.later.js': later }).dir,
        url,
      });
      expect(stderr).toContain(message);
      expect(stderr).toContain(hint);
      expect(code).toBe(2);
      const { rows } = await client.query(`select to_regnamespace('umzug_cluster') as ledger`);
      expect(rows).toEqual([{ ledger: null }]);
    });
  });

  it.each([
    [`{ tenant: 'string' }`, "must be an object, such as { type: 'string', required: true }"],
    [`{ tenant: { type: 'int' } }`, 'string, number, integer, boolean, date, timestamptz; it is "int"'],
    [`{ tenant: { requird: true } }`, 'unknown field "requird", did you mean "required"?'],
    [`{ percent: { type: 'integer', default: '10' } }`, 'a whole number'],
    [`{ key: { secret: true, default: 'abcdefgh' } }`, 'no default and no choices'],
    [`{ apiKey: {}, 'api-key': {} }`, 'have the same variable, UMZUG_CLUSTER_ARG_API_KEY'],
  ])('a file that declares %s is refused', async (args, message) => {
    await withDatabase(async ({ url }) => {
      const text = `export const options = { args: ${args} };
        export const select = (db) => db('orders').select('id'); export const update = () => 0;`;
      const { code, stderr } = await run(['up'], { cwd: makeProject({ 'a.js': text }).dir, url });
      expect(stderr).toContain(message);
      expect(code).toBe(2);
    });
  });
});

const secret = 'nobody-may-"read"-this';

const keyed = `
  export const options = { args: { apiKey: { secret: true, required: true } } };
  export const select = (db) => db('orders').select('id');
  export const update = async (db, rows, { args, logger }) => {
    logger.info({ args, key: args.apiKey }, 'with ' + args.apiKey);
    const { rows: bad } = await db.raw("select 1 from bad where id = any (?)", [rows.map(({ id }) => id)]);
    if (bad.length > 0) throw new Error('the service refused ' + args.apiKey);
    await db('orders').whereIn('id', rows.map(({ id }) => id)).update({ discount: args.apiKey.length });
  };`;

it('a secret is given again after a failure, is compared by its hash, and is shown and recorded nowhere', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${tables}; create table bad (id int)`);
    const { dir } = makeProject({ 'a.js': keyed });
    const said: string[] = [];
    const ask = async (args: readonly string[], key?: string): Promise<number | null> => {
      const env: NodeJS.ProcessEnv = key === undefined ? {} : { UMZUG_CLUSTER_ARG_API_KEY: key };
      const { code, stdout, stderr } = await run([...args, '--verbose'], { cwd: dir, url, env });
      said.push(stdout, stderr);
      return code;
    };
    expect(await ask(['up'])).toBe(2);
    expect(await ask(['up'], 'short')).toBe(2);
    expect(await ask(['plan', '--json'], secret)).toBe(0);
    await client.query('insert into bad values (399)');
    expect(await ask(['up', '--chunk-size', '50'], secret)).toBe(1);
    expect(await ask(['status', '--json'])).toBe(0);
    expect(await ask(['history', '--json'])).toBe(0);
    await client.query('delete from bad');
    expect(await ask(['retry', 'a'])).toBe(2);
    expect(said.at(-1)).toContain('again: a secret is not recorded, only its hash is');
    expect(await ask(['retry', 'a'], 'another-secret')).toBe(3);
    expect(said.at(-1)).toContain('the secret "apiKey" is not the one with which its run began');
    expect(await ask(['retry', 'a'], secret)).toBe(0);
    expect((await client.query('select distinct discount from orders')).rows).toEqual([
      { discount: secret.length },
    ]);
    const { rows } = await client.query<{ table_name: string }>(
      `select table_name from information_schema.tables where table_schema = 'umzug_cluster'`,
    );
    for (const { table_name: table } of rows) {
      said.push(JSON.stringify((await client.query(`select * from umzug_cluster.${table}`)).rows));
    }
    for (const text of said) expect(text).not.toMatch(/nobody-may/);
    expect(said.join('')).toContain('the service refused ***');
  });
});

it('select cannot read a secret', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const reading = keyed.replace(
      `(db) => db('orders').select('id')`,
      `(db, { args }) => db('orders').where('tenant', args.apiKey)`,
    );
    const env = { UMZUG_CLUSTER_ARG_API_KEY: secret };
    const { code, stderr } = await run(['up'], { cwd: makeProject({ 'a.js': reading }).dir, url, env });
    expect(stderr).toContain('a: select reads the secret "apiKey"');
    expect(code).toBe(2);
  });
});

it('workers are given the arguments by their primary, not by their command line or their environment', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key, by int, command text, key text)');
    await client.query('insert into t select generate_series(1, 40000); analyze t');
    const { dir } = makeProject({
      'a.js': `
        import { existsSync as isThere, readFileSync } from 'node:fs';
        export const options = { args: { apiKey: { secret: true, required: true } } };
        export const select = (db) => db('t').select('id').whereNull('by');
        export const update = async (db, rows, { args }) => {
          const end = performance.now() + 100;
          while (!isThere('enough') && performance.now() < end);
          const command = process.send === undefined ? '' : process.argv.join(' ');
          await db('t').whereIn('id', rows.map(({ id }) => id))
            .update({ by: process.pid, command, key: db.raw('md5(?)', [args.apiKey]) });
        };`,
    });
    const place: Place = { cwd: dir, url };
    const up = start(
      ['up', '--arg', 'apiKey=only-on-the-command-line', '--workers', '2', '--chunk-size', '200'],
      place,
    );
    const ended = up.outcome.then(() => true);
    const shared = until(
      'a worker has committed',
      async () => (await client.query('select count(distinct by)::int as n from t')).rows[0].n > 1,
    );
    await Promise.race([ended, shared]);
    hurry(dir);
    const { code, stderr } = await up.outcome;
    expect(code, stderr).toBe(0);
    const { rows } = await client.query(
      `select count(distinct by) > 1 as are_several, bool_and(key = md5('only-on-the-command-line')) as have_it,
              bool_or(command like '%only-on%') as is_visible from t`,
    );
    expect(rows).toEqual([{ are_several: true, have_it: true, is_visible: false }]);
  });
});

it('testMigration gives arguments', async () => {
  const text = `
    export const options = { args: { by: { type: 'integer', required: true } } };
    export const select = (db) => db('people').select('id').whereNull('old_score');
    export const update = (db, rows, { args }) => db('people').whereIn('id', rows.map(({ id }) => id))
      .update({ old_score: db.raw('score'), score: db.raw('score + ?', [args.by]) });
    export const down = {
      select: (db) => db('people').select('id').whereNotNull('old_score'),
      update: (db, rows, { args }) => db('people').whereIn('id', rows.map(({ id }) => id))
        .update({ old_score: null, score: db.raw('score - ?', [args.by]) }),
    };`;
  const { checks } = await reported(text, { args: { by: 7 } });
  expect(checks.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
});

describe('up --limit', () => {
  const perRow = `
    export const select = (db) => db('orders').select('id').where('tenant', 'acme').where('discount', 0);
    export const update = (db, rows) => db('orders').whereIn('id', rows.map(({ id }) => id)).update({ discount: 1 });`;
  const asSet = `import { setBased } from 'umzug-cluster';
    ${perRow.replace(/export const update[\s\S]*$/, 'export const update = setBased((chunk) => chunk.update({ discount: 1 }));')}`;

  it.each([
    ['row by row', perRow],
    ['set-based', asSet],
    ['row by row, in physical order', `export const options = { order: 'physical' };${perRow}`],
    ['set-based, in physical order', `${asSet}; export const options = { order: 'physical' };`],
  ])('stops after exactly so many rows, and the next up continues: %s', async (_what, text) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const place = {
        cwd: makeProject({ '1-a.js': text, '2-b.js': perRow.replaceAll('acme', 'other') }).dir,
        url,
      };
      const done = async (): Promise<unknown> =>
        (await client.query('select count(*)::int as n from orders where discount = 1')).rows[0].n;
      const first = await run(['up', '--limit', '37'], place);
      expect(first.stderr).toContain('stopped after 37 rows as asked');
      expect(first.stderr).toContain('continue: umzug-cluster up');
      expect(first.code).toBe(5);
      expect(await done()).toBe(37);

      const joining = (await import(
        /* @vite-ignore */ pathToFileURL(path.join(root, 'dist/index.js')).href
      )) as typeof import('../../src/index.ts');
      const worker = await joining.createMigrator({ cwd: place.cwd, databaseUrl: url });
      await expect(worker.resume('1-a', 'running')).rejects.toMatchObject({
        code: 'STOPPED',
        message: '1-a was started with up --limit, and waits for the next up',
      });
      await worker.close();

      // Of both migrations together.
      expect(await run(['up', '--limit', '200'], place)).toMatchObject({ code: 5 });
      expect(await done()).toBe(237);
      expect(await run(['up', '--limit', '500'], place)).toMatchObject({ code: 0 });
      expect(await done()).toBe(400);
    });
  });

  it.each([
    ['', [], 'true'],
    [', in a part of the keys', ['--from-key', '101', '--to-key', '300'], 'id between 101 and 300'],
  ])('counts what a host that died had committed%s', async (_what, part, isInside) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${tables}; ${slow}`);
      const place = { cwd: makeProject({ '1-a.js': perRow }).dir, url };
      const up = start(['up', '--limit', '90', '--chunk-size', '10', ...part], place);
      await until('a chunk is committed', async () => (await rowsDone(client)) > 0);
      killGroup(up.pid);
      await up.outcome;
      await client.query('drop trigger wait on orders');
      const before = await rowsDone(client);
      // As long as it has been seen a moment ago, it may be at work.
      await until('the dead host is not counted any more', async () => {
        const { stderr } = await run(['up', '--limit', '5', ...part], place);
        return stderr.includes('stopped after 5 rows as asked');
      });
      expect(await rowsDone(client)).toBe(before + 5);
      const { rowCount: outside } = await client.query(
        `select from orders where discount > 0 and not (${isInside})`,
      );
      expect(outside).toBe(0);
      expect(await run(['up'], place)).toMatchObject({ code: 0 });
      expect(await rowsDone(client)).toBe(200);
    });
  });
});
