import { describe, expect, it } from 'vitest';
import { behindPgBouncer, expectDone, expectEachOnce, progress } from '../support/behind-pgbouncer.ts';
import { groupMembers, run, start } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { makeProject, rowsMigration } from '../support/project.ts';

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
  const outages: [
    string,
    (pooler: PgBouncer, database: string) => Promise<unknown>,
    (pooler: PgBouncer, database: string) => Promise<unknown>,
  ][] = [
    [
      'of KILL',
      (pooler, database) => pooler.admin(`kill ${database}`),
      (pooler, database) => pooler.admin(`resume ${database}`),
    ],
    [
      'of PAUSE',
      (pooler, database) => pooler.admin(`pause ${database}`),
      (pooler, database) => pooler.admin(`resume ${database}`),
    ],
    ['of a PgBouncer that is gone', (pooler) => pooler.kill(), (pooler) => pooler.restart()],
  ];

  it.for(isLong ? outages : outages.slice(0, 1))(
    'exits with 4, says that progress is safe, and the next up goes on: %s',
    { timeout },
    async ([, begin, end], { skip }) => {
      await behindPgBouncer(skip, { poolSize: 4 }, async ({ client, name, pooler, pooled }) => {
        const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.03) }).dir, url: pooled };
        const up = start(args, { ...place, env });
        await progress(client);
        await begin(pooler, name);
        const { code, stderr } = await up.outcome;
        expect(code, stderr).toBe(4);
        expect(stderr).toMatch(/^error: .*no progress for/m);
        expect(stderr).toMatch(/progress is safe; run `up` again/);
        expect(groupMembers(up.pid)).toEqual([]);
        await end(pooler, name);
        await expectDone(start(args, place));
        await expectEachOnce(client);
      });
    },
  );
});

describe('credentials', () => {
  // A refusal that is waited out would run into the limit of the test.
  const env = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '3600000' };

  async function expectRefused(url: string, message: RegExp): Promise<void> {
    const outcome = await run(['up'], { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url, env });
    expect(outcome, outcome.stderr).toMatchObject({ code: 4, stdout: '' });
    expect(outcome.stderr).toMatch(/^error: cannot work with the database /m);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).toContain('progress is safe');
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
      if (pooler === null) return skip('no PgBouncer on this machine');
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
});
