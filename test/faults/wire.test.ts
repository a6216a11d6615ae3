import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { makeProject } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import type { ClientMessage, Fate } from '../support/proxy.ts';
import {
  migrateHere,
  resetSmallTables,
  smallEnv,
  smallMigration,
  smallTables,
  violationIn,
} from '../support/small-run.ts';

// FAULTS_LONG=1: every position through PgBouncer too, and 200 lost commits of each kind.
const isLong = process.env['FAULTS_LONG'] === '1';
const lostCommits = isLong ? 200 : 20;
const timeout = isLong ? 900_000 : 240_000;

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

async function sweep(db: TestDatabase, upstream: string): Promise<{ positions: number; wrong: string[] }> {
  const { dir } = makeProject({ 'a.ts': smallMigration });
  const whole = await runOnce(db, dir, () => 'pass', upstream);
  expect(whole.violation, 'undisturbed').toBeNull();
  const wrong: string[] = [];
  for (const mode of ['cut-before', 'cut-after'] as const) {
    for (let k = 1; k <= whole.messages; k += 1) {
      const seen = await runOnce(db, dir, ({ no }) => (no === k ? mode : 'pass'), upstream);
      if (seen.violation !== null) wrong.push(`${mode} ${k}: ${seen.violation}`);
    }
  }
  return { positions: whole.messages, wrong };
}

it(
  'is exactly once though the connection is cut at any message, before or after the server has seen it',
  async () => {
    await withDatabase(async (db) => {
      await db.client.query(smallTables);
      const { positions, wrong } = await sweep(db, db.url);
      expect(wrong).toEqual([]);
      expect(positions).toBeGreaterThan(50);
    });
  },
  timeout,
);

it.runIf(isLong)(
  'is exactly once though the connection to PgBouncer is cut at any message',
  async ({ skip }) => {
    await withDatabase(async (db) => {
      const pooler = await startPgBouncer({ url: db.url, poolMode: 'transaction', poolSize: 4 });
      if (pooler === null) return skip('no PgBouncer on this machine');
      try {
        await db.client.query(smallTables);
        expect((await sweep(db, pooler.url(db.name))).wrong).toEqual([]);
      } finally {
        await pooler.stop();
      }
    });
  },
  timeout,
);

describe('a commit', () => {
  const isCommit = ({ type, body }: ClientMessage): boolean =>
    type === 'Q' && body.toString('latin1', 5).toLowerCase().startsWith('commit');

  it.each(['cut-after', 'cut-before'] as const)(
    `whose connection is lost ${lostCommits} times leaves every row written once: %s`,
    async (mode) => {
      await withDatabase(async (db) => {
        await db.client.query(smallTables);
        const { dir } = makeProject({ 'a.ts': smallMigration });
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
