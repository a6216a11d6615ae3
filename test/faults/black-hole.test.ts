import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withDatabase } from '../support/database.ts';
import { holes, released, shortTimers, through, ways } from '../support/far.ts';
import type { Way } from '../support/far.ts';
import { makeProject } from '../support/project.ts';
import { startProxy } from '../support/proxy.ts';
import type { ClientMessage, Fate, Hole } from '../support/proxy.ts';
import {
  atPositions,
  migrateHere,
  resetSmallTables,
  smallEnv,
  smallMigration,
  smallTables,
  violationIn,
} from '../support/small-run.ts';

// FAULTS_LONG=1: a hole at every message.
const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = isLong ? 3_600_000 : 240_000;

beforeEach(() => {
  for (const [name, value] of Object.entries({ ...shortTimers, ...smallEnv })) vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

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
    `at ${isLong ? 'any' : 'every twenty-fifth'} message, with it or with its answer, leaves every row written once`,
    async () => {
      const whole = await violationAt('pass', 0);
      expect(whole.violation, 'undisturbed').toBeNull();
      const positions = Array.from({ length: whole.messages }, (_, index) => index + 1);
      const tried = positions.filter((k) => isLong || k % 25 === 0);
      const fates = ['swallow', 'swallow-answers'] as const;
      const wrong = await atPositions(tried, { fates, atOnce: 24 }, async (fate, k) => {
        return (await violationAt(fate, k)).violation;
      });
      expect(wrong).toEqual([]);
      expect(positions.length).toBeGreaterThan(40);
    },
    timeout,
  );
});
