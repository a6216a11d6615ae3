import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { groupMembers, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { released, shortTimers, through } from '../support/far.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import type { ClientMessage } from '../support/proxy.ts';
import { resetSmallTables, smallMigration, smallTables, violationIn } from '../support/small-run.ts';

const args = ['up', '--workers', '2', '--chunk-size', '100'];
const env = shortTimers;
const timeout = 120_000;

/** Waits until chunks of several lanes, in two processes, are under way. */
async function underWay(client: pg.Client): Promise<void> {
  await until('lanes of two processes work', async () => {
    if ((await rowsDone(client)) === 0) return false;
    const { rows } = await client.query<{ lanes: number }>(
      'select count(distinct worker)::int as lanes from umzug_cluster.ranges where chunks > 0',
    );
    return (rows[0]?.lanes ?? 0) >= 3;
  });
}

describe('a network that stays dead', () => {
  it(
    'ends the command with 4 after its budget; the next up goes on where it stopped',
    async () => {
      await withDatabase(async (db) => {
        await db.client.query(createCounters);
        await through('direct', db, async ({ proxy, far }) => {
          const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url: far, env };
          const up = start(args, { ...place, env: { ...env, UMZUG_CLUSTER_RETRY_BUDGET_MS: '500' } });
          await underWay(db.client);
          proxy.block('both');
          const { code, stderr } = await up.outcome;
          expect(code, stderr).toBe(4);
          expect(stderr).toMatch(/^error: no progress for .*did not answer within/m);
          expect(stderr).toMatch(/no progress is lost; run `up` again/);
          expect(groupMembers(up.pid)).toEqual([]);
          await released(db.client);
          proxy.passAll();
          hurry(place.cwd);
          const again = await run(args, place);
          expect(again.code, again.stderr).toBe(0);
          await expectEachOnce(db.client);
        });
      });
    },
    timeout,
  );

  it(
    'does not keep a signal from ending the command, whatever the budget',
    async () => {
      await withDatabase(async (db) => {
        await db.client.query(createCounters);
        await through('direct', db, async ({ proxy, far }) => {
          // a command that waits for an answer, or tries again, runs into the limit of the test
          const patient = {
            UMZUG_CLUSTER_STATEMENT_TIMEOUT_MS: '3600000',
            UMZUG_CLUSTER_CONNECT_TIMEOUT_MS: '3600000',
            UMZUG_CLUSTER_RETRY_BUDGET_MS: '3600000',
            UMZUG_CLUSTER_CEILING_MS: '3600000',
          };
          const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url: far };
          const up = start([...args, '--grace', '500ms'], { ...place, env: { ...env, ...patient } });
          await underWay(db.client);
          proxy.block('both');
          await released(db.client);
          up.child.kill('SIGINT');
          const { code, stderr } = await up.outcome;
          expect(code, stderr).toBe(130);
          expect(stderr).toMatch(/stopped.*no work lost/);
          expect(groupMembers(up.pid)).toEqual([]);
        });
      });
    },
    timeout,
  );

  it('is named where the first connection meets it, with exit code 4', async () => {
    await withDatabase(async (db) => {
      await through('direct', db, async ({ proxy, far }) => {
        proxy.block('both');
        const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url: far };
        const budget = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '100' };
        for (const verb of ['up', 'status']) {
          const { code, stderr } = await run([verb], { ...place, env: { ...env, ...budget } });
          expect(code, stderr).toBe(4);
          expect(stderr).toMatch(
            /^error: cannot work with the database .*127\.0\.0\.1.*did not answer within 1 s/m,
          );
          expect(stderr).toContain('no progress is lost');
        }
      });
    });
  });

  it('does not hold up a command that is done: its goodbye is not waited for', async () => {
    await withDatabase(async (db) => {
      await db.client.query(smallTables);
      await db.client.query(resetSmallTables);
      const isGoodbye = ({ type }: ClientMessage): boolean => type === 'X';
      await through(
        'direct',
        db,
        async ({ far }) => {
          const place = { cwd: makeProject({ 'a.ts': smallMigration }).dir, url: far, env };
          const { code, stderr } = await run(['up'], place);
          expect(code, stderr).toBe(0);
        },
        (message) => (isGoodbye(message) ? 'swallow' : 'pass'),
      );
      expect(await violationIn(db.client)).toBeNull();
    });
  });
});
