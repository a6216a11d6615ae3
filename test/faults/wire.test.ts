import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { urlOfDatabase, withDatabase, withLentDatabases } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { noPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { makeProject } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import type { ClientMessage, Fate } from '../support/proxy.ts';
import {
  atPositions,
  migrateHere,
  resetSmallTables,
  smallEnv,
  smallMigration,
  smallPhysical,
  smallTables,
  violationIn,
} from '../support/small-run.ts';

// FAULTS_LONG=1: every position, and 200 lost commits of each kind.
const isLong = process.env['FAULTS_LONG'] === '1';
const lostCommits = isLong ? 200 : 6;
const timeout = isLong ? 3_600_000 : 480_000;

// One process with one lane: messages come in one order, and three chunks of ten rows.
beforeEach(() => {
  for (const [name, value] of Object.entries(smallEnv)) vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** One run from an empty ledger in which the messages of clients meet the given fate. */
async function runOnce(
  { client, url }: Pick<TestDatabase, 'client' | 'url'>,
  cwd: string,
  fate: (message: ClientMessage) => Fate,
  upstream = url,
): Promise<{ messages: number; violation: string | null }> {
  await client.query(resetSmallTables);
  const proxy = await startProxy(upstream, fate);
  try {
    await migrateHere(cwd, proxy.url(upstream));
    return { messages: proxy.messages, violation: await violationIn(client) };
  } catch (error) {
    return { messages: proxy.messages, violation: String(error) };
  } finally {
    await proxy.close();
  }
}

/** What is wrong after runs that are cut off at one message each, before or after it was read. */
async function sweep(
  pooler: PgBouncer | null,
  every: number,
  migration = smallMigration,
): Promise<readonly string[]> {
  const { dir } = makeProject({ 'a.ts': migration });
  return await withLentDatabases(smallTables, async (lend) => {
    const runCut = (fate: Fate, k: number): ReturnType<typeof runOnce> =>
      lend((db) => runOnce(db, dir, ({ no }) => (no === k ? fate : 'pass'), pooler?.url(db.name)));
    const whole = await runCut('pass', 0);
    expect(whole.violation, 'undisturbed').toBeNull();
    expect(whole.messages).toBeGreaterThan(50);
    const positions = Array.from({ length: whole.messages }, (_, index) => index + 1);
    // a query with values is five messages: each of them has its turn
    const tried = positions.filter((k) => isLong || k % every === 0);
    const fates = ['cut-before', 'cut-after'] as const;
    return await atPositions(
      tried,
      { fates, atOnce: 12 },
      async (fate, k) => (await runCut(fate, k)).violation,
    );
  });
}

describe(`is exactly once though it is cut at ${isLong ? 'any' : 'every thirty-first'} message, before or after it was read`, () => {
  it('the connection to the server', async () => expect(await sweep(null, 31)).toEqual([]), timeout);

  it(
    'the connection to the server in physical order, or every forty-seventh',
    async () => expect(await sweep(null, 47, smallPhysical)).toEqual([]),
    timeout,
  );

  it(
    'the connection to PgBouncer',
    async ({ skip }) => {
      const pooler = await startPgBouncer({ url: urlOfDatabase('postgres'), poolSize: 4 });
      if (pooler === null) return skip(noPgBouncer);
      try {
        expect(await sweep(pooler, 31)).toEqual([]);
      } finally {
        await pooler.stop();
      }
    },
    timeout,
  );
});

const isCommit = ({ type, body }: ClientMessage): boolean =>
  type === 'Q' && body.toString('latin1', 5).toLowerCase().startsWith('commit');

it(
  'takes a claim whose answer is lost for no try, and for no death',
  async () => {
    await withDatabase(async (db) => {
      await db.client.query(
        'create table t (id int primary key, n int not null default 0); insert into t values (1)',
      );
      let lost = 0;
      let isClaim = false;
      const proxy = await startProxy(db.url, (message) => {
        isClaim ||= message.type === 'P' && message.body.includes('is_mine');
        if (!isClaim || !isCommit(message) || lost === 3) return 'pass';
        isClaim = false;
        lost += 1;
        return 'cut-after';
      });
      try {
        const source = smallMigration
          .replace('(db, rows)', '(db, rows, { attempt })')
          .replace("db.raw('n + 1')", 'attempt');
        await migrateHere(makeProject({ 'a.ts': source }).dir, proxy.url(db.url));
      } finally {
        await proxy.close();
      }
      expect(lost).toBe(3);
      expect((await db.client.query('select n from t')).rows).toEqual([{ n: 1 }]);
    });
  },
  timeout,
);

describe('a commit', () => {
  it.each([
    ['cut-after', 'by key', smallMigration],
    ['cut-before', 'by key', smallMigration],
    ['cut-after', 'in physical order', smallPhysical],
  ] as const)(
    `whose connection is lost ${lostCommits} times leaves every row written once: %s, %s`,
    async (mode, _order, migration) => {
      await withDatabase(async (db) => {
        await db.client.query(smallTables);
        const { dir } = makeProject({ 'a.ts': migration });
        let lost = 0;
        const wrong: string[] = [];
        while (lost < lostCommits) {
          // one commit in three is lost; by chance, so that it is not the same step again and again
          const seen = await runOnce(db, dir, (message) => {
            if (!isCommit(message)) return 'pass';
            if (Math.random() > 1 / 3) return 'pass';
            lost += 1;
            return mode;
          });
          if (seen.violation !== null) wrong.push(`after ${lost}: ${seen.violation}`);
        }
        expect(wrong).toEqual([]);
      });
    },
    timeout,
  );
});
