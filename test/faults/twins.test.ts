import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { protections } from '../../bench/protections.ts';
import { writeAllTheWhile } from '../support/application.ts';
import { type Place, rowsDone, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type Patch, copyProduct, patched, withoutRowLocks } from '../support/product-copy.ts';
import { countersOf, makeProject } from '../support/project.ts';

/**
 * The proof of exactly-once, run on the product and on copies of it that lack one protection each: it must be
 * green on the one and red on the others, else it proves nothing. FAULTS_LONG=1: on more rows, with more kills.
 */

const isLong = process.env['FAULTS_LONG'] === '1';
// of few rows the application hits as many that a chunk has in hand, with fewer writes
const allRows = isLong ? 20_000 : 4_000;

type Attack = 'application' | 'kills' | 'own-commit';

/** A protection that a copy of the product lacks. */
interface Twin {
  readonly lacks: string;
  readonly patches: readonly Patch[];
  /** How the proof goes about it. */
  readonly attack: Attack;
  /** What it finds. */
  readonly finds: RegExp;
}

const withoutGuard: readonly Patch[] = [
  {
    file: 'ledger/schema.js',
    from: 'references ${names.guardClosed} (token) deferrable initially deferred',
    to: '',
  },
  // which is noticed before a run begins
  { file: 'run/lifecycle/fit-server.js', from: 'if (isGuardKept)', to: 'if (true)' },
];

const twins: readonly Twin[] = [
  {
    lacks: 'the row locks',
    patches: withoutRowLocks,
    attack: 'application',
    finds: /writes of the application lost/,
  },
  {
    lacks: 'the mark in the transaction of the chunk',
    patches: [
      {
        file: 'run/chunk/chunk.js',
        from: 'return await closeChunk(',
        // late, so that few kills are needed until one comes in between
        to: `await this.#session.query('commit'); await this.#session.query('begin');
             await this.#session.query('select pg_catalog.pg_sleep(0.1)'); return await closeChunk(`,
      },
      // which the guard would not let pass
      ...withoutGuard,
    ],
    attack: 'kills',
    finds: /rows were written twice/,
  },
  {
    lacks: 'the commit guard',
    patches: withoutGuard,
    attack: 'own-commit',
    finds: /rows are half done/,
  },
];

/** What is changed also where nothing is lacking: what stands behind the filter of words is to be seen. */
const openings: Readonly<Record<Attack, readonly Patch[]>> = {
  application: [],
  kills: [],
  'own-commit': [
    {
      file: 'migration/handle/forbidden.js',
      from: 'function forbiddenIn(sql, { ddl }) {',
      to: 'function forbiddenIn(sql, { ddl }) { return null;',
    },
  ],
};

/** The command-line file of a copy of the product for an attack, changed in these places. */
function copyFor(attack: Attack, patches: readonly Patch[]): string {
  const { cli, remove } = copyProduct([...openings[attack], ...patches]);
  onTestFinished(remove);
  return cli;
}

const sources: Readonly<Record<Attack, string>> = {
  application: `
    import { updateRows } from 'umzug-cluster';
    export const select = (db) => db('counters').select('id', 'n', 'hits');
    export const update = async (db, rows) => {
      await db.raw('select pg_sleep(0.05)');
      await updateRows(db, 'counters', rows.map(({ id, n, hits }) => ({ id, n: n + 1, hits })),
        { key: ['id'], set: ['n', 'hits'] });
    };`,
  kills: `
    export const select = (db) => db('counters').select('id');
    export const update = async (db, rows) => {
      await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    };`,
  'own-commit': `
    export const select = (db) => db('counters').select('id');
    export const update = async (db, rows) => {
      await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
      await db.raw('commit');
    };`,
};

// A copy that lacks something shows it after a few; so many for one that lacks nothing prove that it is no accident.
const mostKills = { whole: isLong ? 8 : 4, lacking: 20 };

/** Runs a command to its end, or kills it when `kill`, which is told how to see that it has ended, has settled. */
async function runCli(
  cli: string,
  args: readonly string[],
  { cwd, url }: Place,
  kill?: (isOver: () => boolean) => Promise<unknown>,
): Promise<number | null> {
  const env = { PATH: process.env['PATH'], DATABASE_URL: url ?? '' };
  const child = spawn(process.execPath, [cli, ...args], { cwd, env, stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)));
  if (kill !== undefined) {
    await kill(() => child.exitCode !== null);
    child.kill('SIGKILL');
  }
  return await ended;
}

/** What is wrong after the attack; empty where every row was written once and nothing was lost. */
async function prove(cli: string, attack: Attack, kills: number): Promise<readonly string[]> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(countersOf(allRows));
    const place = { cwd: makeProject({ 'a.ts': sources[attack] }).dir, url };
    const args = ['up', '--workers', '1', '--chunk-size', '100'];
    let acknowledged = 0;
    if (attack === 'application') {
      const application = writeAllTheWhile(url, 4, allRows);
      await runCli(cli, args, place);
      acknowledged = await application.stop();
    } else if (attack === 'kills') {
      // so many chunks that there is something to kill, and each time at another point of them
      const fine = [...args.slice(0, -1), '10'];
      const isTwice = async (): Promise<boolean> =>
        (await client.query('select from counters where n > 1 limit 1')).rowCount === 1;
      for (let killed = 0; killed < kills && !(await isTwice()); killed += 1) {
        const before = await rowsDone(client);
        await runCli(cli, fine, place, async (isOver) => {
          await until('rows are migrated', async () => isOver() || (await rowsDone(client)) > before);
          await sleep(Math.random() * 250);
        });
      }
      await runCli(cli, args, place);
    } else {
      await runCli(cli, args, place);
    }
    const { rows } = await client.query<{ hits: number; most: number; none: boolean; done: number }>(
      `select (select sum(hits)::int from counters) as hits, (select max(n) from counters) as most,
              (select bool_and(n = 0) from counters) as none,
              (select count(*)::int from counters where n = 1) as done`,
    );
    const [seen] = rows;
    if (seen === undefined) return ['nothing was counted'];
    const wrong: string[] = [];
    if (seen.hits !== acknowledged) wrong.push(`${acknowledged - seen.hits} writes of the application lost`);
    if (seen.most > 1) wrong.push('rows were written twice');
    // author code that commits by itself must leave nothing
    if (attack === 'own-commit' ? !seen.none : seen.done !== allRows) wrong.push('rows are half done');
    return wrong;
  });
}

describe('the proof', () => {
  const attacks = ['application', 'kills', 'own-commit'] as const;

  it.each(attacks)(
    'is green on the product: %s',
    async (attack) => {
      expect(await prove(copyFor(attack, []), attack, mostKills.whole)).toEqual([]);
    },
    240_000,
  );

  it.each(twins)(
    'is red without $lacks',
    async (twin) => {
      const cli = copyFor(twin.attack, twin.patches);
      const wrong = await prove(cli, twin.attack, mostKills.lacking);
      expect(wrong.join('\n')).toMatch(twin.finds);
    },
    240_000,
  );

  it('knows how to leave out what benchmarks measure', () => {
    for (const { name, without } of protections) expect(patched(without).size, name).toBeGreaterThan(0);
  });
});
