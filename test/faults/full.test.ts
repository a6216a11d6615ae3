import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbedded } from '../../src/postgres/embedded/index.ts';
import { type Outcome, type Place, rowsDone, run, start, until } from '../support/cli.ts';
import { connect, withDatabase } from '../support/database.ts';
import { countersOf, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import {
  limitMemory,
  mayLimitMemory,
  mayMount,
  mountSmallDisk,
  takeAllConnections,
  takeAllLocks,
} from '../support/shortage.ts';

/**
 * Everything that a server can run out of: said by name, nothing set aside for it, resumable. FAULTS_LONG=1: on more
 * rows, also with the errors alone of what a server really runs out of below, and with both limits of connections.
 */

const isLong = process.env['FAULTS_LONG'] === '1';
const allRows = isLong ? 20_000 : 10_000;

const impatient = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '1500' };
const timeout = 120_000;
const args = ['up', '--workers', '2', '--chunk-size', '200'];

/** What became of the counters; `writes` is what a trigger has seen. */
async function counts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n order by n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids,
            (select count(*)::int from umzug_cluster.quarantine) as quarantined`,
  );
  return rows[0];
}

const eachOnce = { n: [1], writes: allRows, ids: allRows, quarantined: 0 };

/** A run that has stopped for a shortage, has named it, and has left nothing in a bad state. */
async function expectNamed({ code, stderr }: Outcome, what: RegExp, client: pg.Client): Promise<void> {
  expect(code, stderr).toBe(4);
  const said = /^error: .*(?:\n {2}.*)*/m.exec(stderr)?.[0] ?? stderr;
  expect(said).toMatch(what);
  expect(said).toMatch(/hint: no progress is lost; .*then run .* again/);
  const { rows } = await client.query(
    `select state, (select count(*)::int from umzug_cluster.quarantine) as quarantined from umzug_cluster.runs`,
  );
  expect(rows).toEqual([{ state: 'running', quarantined: 0 }]);
  const { rows: twice } = await client.query('select id from writes group by id having count(*) > 1');
  expect(twice).toEqual([]);
}

describe('where the server raises it', () => {
  const raises = (code: string, when: string): string => `
    create table full_up ();
    create function complain() returns trigger language plpgsql as $$
      begin
        if new.id = 7777 and to_regclass('public.full_up') is not null then
          raise 'no more of it' using errcode = '${code}';
        end if;
        return null;
      end $$;
    create constraint trigger complain after update of n on counters ${when}
      for each row execute function complain()`;

  const shortages = [
    ['53100', 'at once', /no progress.*disk of the database server is full: .*no more of it/],
    ['53200', 'at once', /out of memory: .*no more of it/],
    ['53400', 'at once', /a limit of the database server is reached: .*no more of it/],
    ['53100', 'at commit', /disk of the database server is full: .*no more of it/],
  ] as const;
  const alone = ['up', '--workers', '1', '--chunk-size', '200'];

  it.each(isLong ? shortages : shortages.slice(2))('%s %s', { timeout }, async (code, when, what) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(countersOf(allRows));
      await client.query(raises(code, when === 'at commit' ? 'deferrable initially deferred' : ''));
      const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
      await expectNamed(await run(alone, { ...place, env: impatient }), what, client);
      const { rows } = await client.query<{ left: number }>(
        'select count(*)::int as left from counters where n = 0',
      );
      expect(rows[0]?.left, 'the other ranges are done').toBeLessThan(allRows / 4);
      const up = start([...alone, '--log-format', 'json'], place);
      await up.says(/"waiting":"trying again: .*no more of it, gives up in \d+ s"/);
      await client.query('drop table full_up');
      expect(await up.outcome).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual(eachOnce);
    });
  });
});

describe('a server that is full', () => {
  let server: TestServer;
  let admin: pg.Client;

  beforeAll(async () => {
    const settings = { max_connections: '20', max_locks_per_transaction: '10' };
    server = await startTestServer({ settings });
    admin = await connect(server.url);
    await admin.query("create role migrator login password 'canary'");
  });

  afterAll(async () => {
    await admin?.end();
    await server?.remove();
  });

  interface Scene {
    readonly client: pg.Client;
    /** As a role without privileges, in a project of this migration. */
    place(files: Readonly<Record<string, string>>, env?: NodeJS.ProcessEnv): Place;
  }

  /** A database of the server, with the counters. */
  async function withCounters(tablespace: string, work: (scene: Scene) => Promise<void>): Promise<void> {
    const name = `test_${randomBytes(6).toString('hex')}`;
    await admin.query(`create database ${name} template template0 owner migrator tablespace ${tablespace}`);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    const client = await connect(url.href);
    url.username = 'migrator';
    url.password = 'canary';
    try {
      await client.query(`set role migrator; ${countersOf(allRows)}; reset role`);
      const place: Scene['place'] = (files, env = {}) => ({
        cwd: makeProject(files).dir,
        url: url.href,
        env,
      });
      await work({ client, place });
    } finally {
      await client.end();
      await admin.query(`drop database ${name} with (force)`);
    }
  }

  it.runIf(mayMount())('has no space on its disk', { timeout }, async () => {
    const disk = mountSmallDisk(server.projectDir, 48);
    try {
      await admin.query(`create tablespace small location '${disk.folder}'`);
      await withCounters('small', async ({ client, place }) => {
        const what = /no progress.*disk of the database server is full.*\n.*53100\n.*free space there/;
        const here = place({ 'a.ts': rowsMigration(0.3) });
        const first = start(args, { ...here, env: impatient });
        await until('rows are migrated', async () => (await rowsDone(client)) > 0);
        disk.fill();
        hurry(here.cwd);
        await expectNamed(await first.outcome, what, client);
        expect(await rowsDone(client), 'there is work left').toBeLessThan(allRows);

        const second = start(args, here);
        await second.says(/tried again: the disk of the database server is full/);
        disk.free();
        expect(await second.outcome).toMatchObject({ code: 0 });
        expect(await counts(client)).toEqual(eachOnce);

        const schema = `export const up = (db) => db.raw('create table big as select i from generate_series(1, 2000000) as i');`;
        disk.fill();
        const { code, stderr } = await run(['up'], place({ 'b.ts': schema }, impatient));
        expect(code, stderr).toBe(4);
        expect(stderr).toMatch(/b, up: the disk of the database server is full/);
        disk.free();
      });
      await admin.query('drop tablespace small');
    } finally {
      disk.unmount();
    }
  });

  it.runIf(mayLimitMemory())('has no memory', { timeout }, async () => {
    const { dataDir } = await startEmbedded(server.projectDir);
    const postmaster = Number(readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const hungry = rowsMigration().replace(
      'await db(',
      `if (rows.some(({ id }) => id === '7777')) await db.raw("select length(repeat('x', 300000000))");
       await db(`,
    );
    await withCounters('pg_default', async ({ client, place }) => {
      const here = place({ 'a.ts': hungry });
      limitMemory(postmaster, 100);
      const outcome = await run(args, { ...here, env: impatient }).finally(() =>
        limitMemory(postmaster, 'unlimited'),
      );
      await expectNamed(outcome, /the database server is out of memory: .*\n.*53200\n.*work_mem/, client);
      expect(await run(['up', '--workers', '1'], here)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual(eachOnce);
    });
  });

  it('has no room for locks', { timeout }, async () => {
    await withCounters('pg_default', async ({ client, place }) => {
      const here = place({ 'a.ts': rowsMigration(0.3) });
      const up = start(args, { ...here, env: impatient });
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      const giveBack = await takeAllLocks(server.url);
      hurry(here.cwd);
      const what = /the lock table of the database server is full: .*\n.*53200\n.*max_locks_per_transaction/;
      const outcome = await up.outcome;
      await giveBack();
      await expectNamed(outcome, what, client);
      expect(await run(['up', '--workers', '1'], here)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual(eachOnce);
    });
  });

  const limits = [
    ['the server', async () => await takeAllConnections(roleUrl())],
    ['the limit of the role', async () => await limitRole(0)],
  ] as const;

  it.each(isLong ? limits : limits.slice(0, 1))(
    'has no connection left, by %s',
    { timeout },
    async (_whose, take) => {
      await withCounters('pg_default', async ({ client, place }) => {
        const here = place({ 'a.ts': rowsMigration(0.3) });
        const up = start(args, { ...here, env: impatient });
        await until('rows are migrated', async () => (await rowsDone(client)) > 0);
        process.kill(-up.pid, 'SIGSTOP');
        await client.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = 'migrator'`);
        const giveBack = await take();
        process.kill(-up.pid, 'SIGCONT');
        hurry(here.cwd);
        const what = /: the database has no connections left: .*\n.*53300\n.*lower --workers/;
        const outcomes = [await up.outcome, await run(args, { ...here, env: impatient })];
        await giveBack();
        for (const outcome of outcomes) await expectNamed(outcome, what, client);
        expect(await run(['up', '--workers', '1'], here)).toMatchObject({ code: 0 });
        expect(await counts(client)).toEqual(eachOnce);
      });
    },
  );

  it('has fewer connections than workers: the run is only slower, however long', { timeout }, async () => {
    await withCounters('pg_default', async ({ client, place }) => {
      const unlimited = await limitRole(2);
      const here = place({ 'a.ts': rowsMigration(0.3) }, impatient);
      const up = start(['up', '--workers', '4', '--chunk-size', '200'], here);
      await up.says(/worker \d+ cannot start: .*the database has no connections left/);
      hurry(here.cwd);
      const { code, stderr } = await up.outcome;
      await unlimited();
      expect(code, stderr).toBe(0);
      expect(await counts(client)).toEqual(eachOnce);
    });
  });

  async function limitRole(connections: number): Promise<() => Promise<void>> {
    await admin.query(`alter role migrator connection limit ${connections}`);
    return async () => void (await admin.query('alter role migrator connection limit -1'));
  }

  function roleUrl(): string {
    const url = new URL(server.url);
    url.username = 'migrator';
    url.password = 'canary';
    return url.href;
  }
});
