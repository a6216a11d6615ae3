import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { groupMembers, rowsDone, run, start, until } from '../support/cli.ts';
import type { TestDatabase } from '../support/database.ts';
import { withDatabase } from '../support/database.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { counterRows, createCounters, makeProject, rowsMigration } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import type { ClientMessage, Fate, Hole, Proxy } from '../support/proxy.ts';
import {
  migrateHere,
  resetSmallTables,
  smallEnv,
  smallMigration,
  smallTables,
  violationIn,
} from '../support/small-run.ts';

// FAULTS_LONG=1: a hole at every message, and in runs of several processes.
const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = isLong ? 600_000 : 120_000;
const args = ['up', '--workers', '2', '--chunk-size', '100'];

// A statement is given up 5 s after its own limit.
const env = {
  UMZUG_CLUSTER_STATEMENT_TIMEOUT_MS: '500',
  UMZUG_CLUSTER_IDLE_TIMEOUT_MS: '500',
  UMZUG_CLUSTER_CONNECT_TIMEOUT_MS: '1000',
  UMZUG_CLUSTER_TCP_USER_TIMEOUT_MS: '1000',
};

beforeEach(() => {
  for (const [name, value] of Object.entries({ ...env, ...smallEnv })) vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

type Way = 'direct' | 'before PgBouncer' | 'behind PgBouncer';
const ways: readonly Way[] = ['direct', 'before PgBouncer', 'behind PgBouncer'];
const holes: readonly Hole[] = ['both', 'to-server', 'to-client'];

interface Far {
  readonly proxy: Proxy;
  /** Connection string of the database, through the proxy. */
  readonly far: string;
}

/** Puts a proxy on the way to a database; false where PgBouncer is wanted and missing. */
async function through(
  way: Way,
  db: TestDatabase,
  work: (on: Far) => Promise<void>,
  fate: (message: ClientMessage) => Fate = () => 'pass',
): Promise<boolean> {
  const pooled = { poolSize: 6, settings: { server_login_retry: 0.2 } };
  const before = way === 'before PgBouncer' ? await startPgBouncer({ url: db.url, ...pooled }) : null;
  if (way === 'before PgBouncer' && before === null) return false;
  const near = before?.url(db.name) ?? db.url;
  const proxy = await startProxy(near, fate);
  const behind =
    way === 'behind PgBouncer' ? await startPgBouncer({ url: proxy.url(near), ...pooled }) : null;
  try {
    if (way === 'behind PgBouncer' && behind === null) return false;
    await work({ proxy, far: behind?.url(db.name) ?? proxy.url(near) });
    return true;
  } finally {
    await behind?.stop();
    await proxy.close();
    await before?.stop();
  }
}

/** Waits until the server has ended every transaction of the product by itself. */
async function released(client: pg.Client): Promise<void> {
  await until('the server has released the locks', async () => {
    const { rows } = await client.query<{ open: number }>(
      `select count(*)::int as open from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`,
    );
    return rows[0]?.open === 0;
  });
}

async function expectEachOnce(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  expect(rows).toEqual([{ n: [1], writes: counterRows, ids: counterRows }]);
}

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

describe('a network that goes dead in the middle of a chunk', () => {
  /** What is wrong after a run whose connections of that moment never pass anything again; null: nothing. */
  async function violationAfter(way: Way, hole: Hole): Promise<string | null> {
    return await withDatabase(async (db) => {
      await db.client.query(smallTables);
      await db.client.query(resetSmallTables);
      let opened: () => void = () => undefined;
      const isOpen = new Promise<void>((resolve) => (opened = resolve));
      const isUpdate = ({ body }: ClientMessage): boolean => body.includes('update "t"');
      let isBlocked = false;
      let wrong: string | null = null;
      let block: () => void = () => undefined;
      const fate = (message: ClientMessage): Fate => {
        if (!isBlocked && isUpdate(message)) block();
        return 'pass';
      };
      const isThere = await through(
        way,
        db,
        async ({ proxy, far }) => {
          block = () => {
            isBlocked = true;
            proxy.block(hole);
            opened();
          };
          const done = migrateHere(makeProject({ 'a.ts': smallMigration }).dir, far);
          await Promise.race([isOpen, done]);
          await released(db.client);
          proxy.passNew();
          wrong = await done.then(() => violationIn(db.client), String);
        },
        fate,
      );
      return isThere && !isBlocked ? 'no chunk was met' : wrong;
    });
  }

  it(
    'is noticed on both sides: the server lets go of the locks, the run goes on over new connections',
    async () => {
      const cases = ways.flatMap((way) => holes.map((hole) => [way, hole] as const));
      const seen = await Promise.all(
        cases.map(async ([way, hole]) => `${way}, ${hole}: ${await violationAfter(way, hole)}`),
      );
      expect(seen).toEqual(cases.map(([way, hole]) => `${way}, ${hole}: null`));
    },
    timeout,
  );
});

describe('a connection that goes dead', () => {
  async function violationAt(mode: Fate, k: number): Promise<{ messages: number; violation: string | null }> {
    return await withDatabase(async (db) => {
      await db.client.query(smallTables);
      await db.client.query(resetSmallTables);
      const proxy = await startProxy(db.url, ({ no }) => (no === k ? mode : 'pass'));
      try {
        const { dir } = makeProject({ 'a.ts': smallMigration });
        const violation = await migrateHere(dir, proxy.url(db.url)).then(
          () => violationIn(db.client),
          String,
        );
        return { messages: proxy.messages, violation };
      } finally {
        await proxy.close();
      }
    });
  }

  it(
    `at ${isLong ? 'any' : 'every tenth'} message, with it or with its answer, leaves every row written once`,
    async () => {
      const whole = await violationAt('pass', 0);
      expect(whole.violation, 'undisturbed').toBeNull();
      const positions = Array.from({ length: whole.messages }, (_, index) => index + 1);
      const tried = positions.filter((k) => isLong || k % 10 === 0);
      const left = tried.flatMap((k) => [['swallow', k] as const, ['swallow-answers', k] as const]);
      const wrong: string[] = [];
      const trying = Array.from({ length: 12 }, async () => {
        for (let next = left.pop(); next !== undefined; next = left.pop()) {
          const { violation } = await violationAt(next[0], next[1]);
          if (violation !== null) wrong.push(`${next.join(' ')}: ${violation}`);
        }
      });
      await Promise.all(trying);
      expect(wrong).toEqual([]);
      expect(positions.length).toBeGreaterThan(40);
    },
    timeout,
  );
});

describe('a network that stays dead', () => {
  it(
    'ends the command with 4 after its budget; the next up goes on where it stopped',
    async () => {
      await withDatabase(async (db) => {
        await db.client.query(createCounters);
        await through('direct', db, async ({ proxy, far }) => {
          const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.03) }).dir, url: far, env };
          const up = start(args, { ...place, env: { ...env, UMZUG_CLUSTER_RETRY_BUDGET_MS: '500' } });
          await underWay(db.client);
          proxy.block('both');
          const { code, stderr } = await up.outcome;
          expect(code, stderr).toBe(4);
          expect(stderr).toMatch(/^error: no progress for .*did not answer within/m);
          expect(stderr).toMatch(/progress is safe; run `up` again/);
          expect(groupMembers(up.pid)).toEqual([]);
          await released(db.client);
          proxy.passAll();
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
          const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.03) }).dir, url: far };
          const up = start([...args, '--grace', '500ms'], { ...place, env: { ...env, ...patient } });
          await underWay(db.client);
          proxy.block('both');
          await released(db.client);
          up.child.kill('SIGINT');
          const { code, stderr } = await up.outcome;
          expect(code, stderr).toBe(130);
          expect(stderr).toMatch(/stopped.*nothing lost/);
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
          expect(stderr).toContain('progress is safe');
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
