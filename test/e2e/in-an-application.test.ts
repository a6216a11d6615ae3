import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const root = path.join(import.meta.dirname, '..', '..');

// From its second chunk on, a process waits at most a second, until another one has committed one, too.
const migration = `
  export const options = { chunkSize: 20 };
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows) => {
    await db.raw('insert into pids values (?) on conflict do nothing', [process.pid]);
    for (let turn = 0; turn < 20; turn += 1) {
      const { rows: [seen] } = await db.raw('select count(*)::int as all from pids');
      if (seen.all !== 1 || !globalThis.isSecond) break;
      await db.raw('select pg_sleep(0.05)');
    }
    globalThis.isSecond = true;
    await db('t').whereRaw('id = any (?)', [rows.map((row) => row.id)]).update({ n: db.raw('n + 1') });
  };`;

const schema = `
  create table pids (pid int primary key);
  create table t (id bigint primary key, n int not null default 0);
  insert into t select generate_series(1, 800); analyze t`;

const onceEach = 'select n, count(*)::int as rows from t group by n';
const processes = 'select pid from pids';

/** Runs an application until it ends by itself, and returns what it prints. */
function application(body: string, urls: readonly string[]): unknown {
  const { dir } = makeProject({ 'a.ts': migration });
  const app = path.join(dir, 'app.mjs');
  writeFileSync(
    app,
    `import cluster from 'node:cluster';
     import { once } from 'node:events';
     import { createMigrator } from ${JSON.stringify(path.join(root, 'dist/index.js'))};
     const urls = ${JSON.stringify(urls)};
     const open = (url) => createMigrator({ databaseUrl: url, workers: 2 });
     const print = (value) => console.log(JSON.stringify(value));
     ${body}`,
  );
  const output = execFileSync(process.execPath, [app], { cwd: dir, encoding: 'utf8', timeout: 60_000 });
  return JSON.parse(output);
}

it('does not notice in its own cluster that workers of a migration come and go', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(schema);
    const printed = application(
      `if (cluster.isPrimary) {
         cluster.setupPrimary({ args: ['web'] });
         const before = JSON.stringify(cluster.settings);
         await once(cluster, 'setup');
         const events = [];
         for (const name of ['fork', 'online', 'exit', 'disconnect', 'message', 'setup'])
           cluster.on(name, () => events.push(name));
         const migrator = await open(urls[0]);
         const [{ rows }] = await migrator.up();
         await migrator.close();
         print({ rows, events, workers: Object.keys(cluster.workers), isSame: JSON.stringify(cluster.settings) === before });
       }`,
      [url],
    );
    expect(printed).toEqual({ rows: 800, events: [], workers: [], isSame: true });
    expect((await client.query(processes)).rows).toHaveLength(2);
    expect((await client.query(onceEach)).rows).toEqual([{ n: 1, rows: 800 }]);
  });
});

it('may write through a pool of its own meanwhile, which is told once and not refused', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`${schema}; create table requests (at timestamptz)`);
    const printed = application(
      `const { createRequire } = await import('node:module');
       const pg = createRequire(${JSON.stringify(import.meta.filename)})('pg');
       const pool = new pg.Pool({ connectionString: urls[0], application_name: 'web' });
       const told = [];
       const warn = (record) => told.push(record);
       const none = () => undefined;
       const logger = { debug: none, info: none, warn, error: none };
       const migrator = await createMigrator({ databaseUrl: urls[0], workers: 2, logger });
       let isUp = true;
       const requests = (async () => { while (isUp) await pool.query('insert into requests values (now())'); })();
       const [{ rows }] = await migrator.up();
       isUp = false;
       await requests;
       await pool.end();
       await migrator.close();
       print({ rows, told: told.map(({ event, application }) => [event, application]) });`,
      [url],
    );
    expect(printed).toEqual({ rows: 800, told: [['update.outside', 'web']] });
    expect((await client.query(onceEach)).rows).toEqual([{ n: 1, rows: 800 }]);
  });
});

it('uses all cores in a worker of a cluster just the same', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(schema);
    const printed = application(
      `if (cluster.isPrimary) {
         const worker = cluster.fork();
         worker.on('message', print);
         const [code] = await once(worker, 'exit');
         if (code !== 0) process.exit(code);
       } else {
         const migrator = await open(urls[0]);
         const [{ rows }] = await migrator.up();
         await migrator.close();
         process.send({ rows });
         process.disconnect();
       }`,
      [url],
    );
    expect(printed).toEqual({ rows: 800 });
    expect((await client.query(processes)).rows).toHaveLength(2);
  });
});

it('has a second call of up wait for its turn, and ends when both are done', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(schema);
    const printed = application(
      `const migrator = await open(urls[0]);
       const [first, second] = await Promise.all([migrator.up(), migrator.up()]);
       await migrator.close();
       print([first.map(({ rows }) => rows), second]);`,
      [url],
    );
    expect(printed).toEqual([[800], []]);
    expect((await client.query(onceEach)).rows).toEqual([{ n: 1, rows: 800 }]);
  });
});

it.each(['drain', 'abort'])(
  'stops (%s) what runs and what waits for it, and runs a later up',
  async (how) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(schema);
      const printed = application(
        `const migrator = await open(urls[0]);
       const calls = [migrator.up(), migrator.up()];
       await once(migrator, 'migrating');
       await once(migrator, 'progress');
       migrator.stop('SIGTERM', '${how}');
       const stopped = await Promise.all(calls.map((call) => call.then(() => 'done', ({ code }) => code)));
       const again = await migrator.up();
       const left = await migrator.up();
       await migrator.close();
       print({ stopped, again: again.map(({ rows }) => rows), left });`,
        [url],
      );
      expect(printed).toEqual({ stopped: ['TERMINATED', 'TERMINATED'], again: [800], left: [] });
      expect((await client.query(onceEach)).rows).toEqual([{ n: 1, rows: 800 }]);
    });
  },
);

it('migrates two databases at the same time', async () => {
  await withDatabase(async (one) => {
    await withDatabase(async (other) => {
      for (const { client } of [one, other]) await client.query(schema);
      const printed = application(
        `const migrators = await Promise.all(urls.map(open));
         const outcomes = await Promise.all(migrators.map((migrator) => migrator.up()));
         await Promise.all(migrators.map((migrator) => migrator.close()));
         print(outcomes.map(([{ rows }]) => rows));`,
        [one.url, other.url],
      );
      expect(printed).toEqual([800, 800]);
      for (const { client } of [one, other]) {
        expect((await client.query(onceEach)).rows).toEqual([{ n: 1, rows: 800 }]);
        expect((await client.query(processes)).rows).toHaveLength(2);
      }
    });
  });
});

it.each([
  ['one ledger, whose run they share', ['umzug_cluster', 'umzug_cluster'], 1],
  ['two ledgers, each of which has it done', ['first', 'second'], 2],
])('has two migrators on one database at the same time: %s', async (_what, ledgers, n) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(schema);
    const printed = application(
      `const { writeFileSync } = await import('node:fs');
       const migrators = await Promise.all(${JSON.stringify(ledgers)}.map((schemaName, no) => {
         const knexfile = 'knexfile' + no + '.mjs';
         const connection = JSON.stringify(urls[0]);
         writeFileSync(knexfile, \`export default { client: 'pg', connection: \${connection},
           migrations: { schemaName: '\${schemaName}' } };\`);
         return createMigrator({ knexfile, workers: 2 });
       }));
       const outcomes = await Promise.all(migrators.map((migrator) => migrator.up()));
       await Promise.all(migrators.map((migrator) => migrator.close()));
       print(outcomes.flat().map(({ name }) => name));`,
      [url],
    );
    expect(printed).toEqual(['a', 'a']);
    expect((await client.query(onceEach)).rows).toEqual([{ n, rows: 800 }]);
  });
});
