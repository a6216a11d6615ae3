import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { behindPgBouncer, expectDone, expectEachOnce, progress } from '../support/behind-pgbouncer.ts';
import { groupMembers, run, start, until } from '../support/cli.ts';
import { onServer, withDatabase } from '../support/database.ts';
import { noPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = 120_000;
const args = ['up', '--workers', '2', '--chunk-size', '250'];

describe('an outage that lasts past the budget', () => {
  const env = {
    UMZUG_CLUSTER_RETRY_BUDGET_MS: '500',
    UMZUG_CLUSTER_CONNECT_TIMEOUT_MS: '1000',
    UMZUG_CLUSTER_STATEMENT_TIMEOUT_MS: '500',
    UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '1000',
  };
  // Without the long set the first alone: PgBouncer 1.18 dies of a KILL now and then, which ends the outage.
  const outages: [
    string,
    (pooler: PgBouncer, database: string) => Promise<unknown>,
    (pooler: PgBouncer, database: string) => Promise<unknown>,
  ][] = [
    [
      'of PAUSE',
      (pooler, database) => pooler.admin(`pause ${database}`),
      (pooler, database) => pooler.admin(`resume ${database}`),
    ],
    [
      'of KILL',
      (pooler, database) => pooler.admin(`kill ${database}`),
      (pooler, database) => pooler.admin(`resume ${database}`),
    ],
    ['of a PgBouncer that is gone', (pooler) => pooler.kill(), (pooler) => pooler.restart()],
  ];

  it.for(isLong ? outages : outages.slice(0, 1))(
    'exits with 4, says that progress is safe, and the next up goes on: %s',
    { timeout },
    async ([, begin, end], { skip }) => {
      await behindPgBouncer(skip, { poolSize: 4 }, async ({ client, name, pooler, pooled }) => {
        const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: pooled };
        const up = start(args, { ...place, env });
        await progress(client, up);
        await begin(pooler, name);
        const { code, stderr } = await up.outcome;
        expect(code, stderr).toBe(4);
        expect(stderr).toMatch(/^error: .*no progress for/m);
        expect(stderr).toMatch(/no progress is lost; run `up` again/);
        expect(groupMembers(up.pid)).toEqual([]);
        await end(pooler, name);
        hurry(place.cwd);
        await expectDone(start(args, place));
        await expectEachOnce(client);
      });
    },
  );
});

describe('a limit of PgBouncer', () => {
  it('on the wait for a session is met again until there is one', async ({ skip }) => {
    const settings = { query_wait_timeout: 0.3 };
    await behindPgBouncer(skip, { poolSize: 1, settings }, async ({ client, pooler, pooled }) => {
      const other = new pg.Client(pooled);
      await other.connect();
      await other.query('begin');
      const up = start(args, { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url: pooled });
      await until('it has waited in vain', () => pooler.log().split('query_wait_timeout').length > 3);
      await other.end();
      await expectDone(up);
      await expectEachOnce(client);
    });
  });

  it('on the clients is met again until one has gone', async ({ skip }) => {
    const settings = { max_client_conn: 1 };
    await behindPgBouncer(skip, { settings }, async ({ client, pooler, pooled }) => {
      const other = new pg.Client(pooled);
      await other.connect();
      const up = start(['up'], { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url: pooled });
      await until('it was refused', () => pooler.log().split('no more connections allowed').length > 3);
      await pooler.admin('set max_client_conn = 100');
      await expectDone(up);
      await expectEachOnce(client);
      await other.end();
    });
  });

  it('on the clients, below the number of lanes, only slows the run down', async ({ skip }) => {
    // the primary's own connection and one lane; all the others are refused for longer than their budget
    const settings = { max_client_conn: 2 };
    await behindPgBouncer(skip, { settings }, async ({ client, pooler, pooled }) => {
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: pooled };
      const budget = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '2000' };
      const up = start(['up', '--workers', '3', '--chunk-size', '100'], { ...place, env: budget });
      await up.says(/worker \d+ cannot start: .*no more connections allowed/);
      hurry(place.cwd);
      await expectDone(up);
      await expectEachOnce(client);
      expect(pooler.log()).toContain('no more connections allowed');
    });
  });
});

describe('credentials', () => {
  // A refusal that is waited out would run into the limit of the test.
  const env = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '3600000' };

  async function expectRefused(url: string, message: RegExp): Promise<void> {
    const outcome = await run(['up'], { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url, env });
    expect(outcome, outcome.stderr).toMatchObject({ code: 4, stdout: '' });
    expect(outcome.stderr).toMatch(/^error: cannot work with the database /m);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).toContain('no progress is lost');
    expect(outcome.stderr).not.toContain('hunter2');
  }

  it('that PgBouncer refuses end the command at once with 4', async ({ skip }) => {
    await behindPgBouncer(skip, {}, async ({ pooled }) => {
      const wrong = new URL(pooled);
      wrong.password = 'hunter2';
      await expectRefused(wrong.href, /authentication failed/);
      wrong.username = 'nobody';
      await expectRefused(wrong.href, /authentication failed|no such user/);
      const odd = new URL(pooled);
      odd.searchParams.set('options', '-c work_mem=1MB');
      await expectRefused(odd.href, /unsupported startup parameter/i);
    });
  });

  it('of PgBouncer that the server refuses end the command at once with 4', async ({ skip }) => {
    await withDatabase(async ({ url, name }) => {
      const wrong = new URL(url);
      wrong.password = 'hunter2';
      const pooler = await startPgBouncer({ url: wrong.href });
      if (pooler === null) return skip(noPgBouncer);
      try {
        await expectRefused(pooler.url(name), /password authentication failed for user/);
      } finally {
        await pooler.stop();
      }
    });
  });

  it('of a database that is not there end the command at once with 4', async ({ skip }) => {
    await behindPgBouncer(skip, {}, async ({ pooler }) => {
      await expectRefused(pooler.url('nope'), /database "nope" does not exist/);
    });
  });

  it(
    'that change in the middle of a run end it with 4, and the next up goes on',
    async () => {
      const role = `role_${randomBytes(6).toString('hex')}`;
      await withDatabase(async ({ client, url }) => {
        await client.query(`${createCounters}; create role ${role} superuser login password 'before'`);
        const own = new URL(url);
        own.username = role;
        own.password = 'before';
        const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: own.href };
        const up = start(args, { ...place, env });
        await progress(client, up);
        await client.query(`alter role ${role} password 'after'`);
        await client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`,
        );
        const { code, stderr } = await up.outcome;
        expect(code, stderr).toBe(4);
        expect(stderr).toMatch(/^error: .*password authentication failed/m);
        expect(stderr).toContain('no progress is lost');
        await client.query(`alter role ${role} password 'before'`);
        hurry(place.cwd);
        await expectDone(start(args, place));
        await expectEachOnce(client);
      });
      await onServer(`drop role ${role}`);
    },
    timeout,
  );
});
