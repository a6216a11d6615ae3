import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { groupMembers, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { countersOf, makeProject } from '../support/project.ts';
import { marked, rows, tryMigration, withMistake } from '../support/mistakes.ts';

const ceiling = { UMZUG_CLUSTER_CEILING_MS: '500' };
const timeout = 180_000;
const allRows = 4_000;

// FAULTS_LONG=1: process.exit with each code in each process; else each code in one of them.
const isLong = process.env['FAULTS_LONG'] === '1';

/**
 * A migration of the counters that makes its mistake once, in the primary or in a worker, while the folder
 * `armed` is there. The primary is slow, so that workers pay.
 */
const armed = (where: 'primary' | 'worker', mistake: string): string => `
  import cluster from 'node:cluster';
  import { execSync } from 'node:child_process';
  import { existsSync, rmdirSync } from 'node:fs';
  const isArmed = () => { try { rmdirSync('armed'); return true; } catch { return false; } };
  export const select = (db) => db('counters').select('id');
  export const update = async (db, rows) => {
    await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    ${where === 'primary' ? '' : `if (cluster.isPrimary) return db.raw('select pg_sleep(?)', [existsSync('armed') ? 0.2 : 0.05]);`}
    if (isArmed()) { ${mistake} }
  };`;

async function expectWhole(client: pg.Client, isDone: boolean): Promise<void> {
  const { rows: found } = await client.query<{ writes: number; ids: number; recorded: number }>(
    `select (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids,
            (select sum(rows)::int from umzug_cluster.ranges) as recorded`,
  );
  const { writes = -1, ids, recorded } = found[0] ?? {};
  expect({ ids, recorded }, 'nothing is lost or doubled').toEqual({ ids: writes, recorded: writes });
  expect(writes === allRows, `${writes} rows are done`).toBe(isDone);
}

/** Runs `up` on the counters with a mistake in it, then once more without. */
async function tryTwice(
  where: 'primary' | 'worker',
  mistake: string,
  expected: { readonly code: number | null; readonly says: RegExp; readonly hint: RegExp | null },
): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(countersOf(allRows));
    const { dir } = makeProject({ 'a.ts': armed(where, mistake) });
    mkdirSync(path.join(dir, 'armed'));
    const place = { cwd: dir, url, env: ceiling };
    // so many chunks that the primary is not done before the worker has begun
    const size =
      where === 'primary'
        ? ['--workers', '1', '--chunk-size', '100']
        : ['--workers', '2', '--chunk-size', '20'];
    const up = start(['up', ...size], place);
    const { code, stdout, stderr } = await up.outcome;
    expect(code, stderr).toBe(expected.code);
    expect(stderr).toMatch(expected.says);
    expect(stderr).not.toMatch(/debugger/);
    if (expected.hint !== null) expect(stderr).toMatch(expected.hint);
    if (code !== 0) expect(stdout).toBe('');
    await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
    await expectWhole(client, code === 0);
    const again = await run(['up', '--workers', '1'], place);
    expect(again.code, again.stderr).toBe(0);
    await expectWhole(client, true);
  });
}

describe('an update that does not come to an end', () => {
  // Of two lanes one may take the range up before the other has said why it gave it up.
  const env = { UMZUG_CLUSTER_CEILING_MS: '500', UMZUG_CLUSTER_LANES: '2' };

  it('and never settles: its row is set aside, all others are done', { timeout }, async () => {
    const check: Parameters<typeof tryMigration>[1] = ({ code, stderr }, done) => {
      expect(code, stderr).toBe(1);
      expect(stderr).toMatch(new RegExp(`row ${marked}: .*exceeded 0.5 s: update did not settle`));
      expect(done, stderr).toEqual({ mark: 0, sum: rows - 1, most: 1, recorded: rows - 1 });
    };
    await tryMigration(withMistake('await new Promise(() => {});'), check, env);
  });

  it('with a row that had to wait once: it is tried again, all are done', { timeout }, async () => {
    const isLate = 'rows.length > 1 || (globalThis.tries = (globalThis.tries ?? 0) + 1) === 1';
    const check: Parameters<typeof tryMigration>[1] = ({ code, stderr }, done) => {
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/is tried again: .*exceeded 0\.5 s/);
      expect(done, stderr).toEqual({ mark: 1, sum: rows, most: 1, recorded: rows });
    };
    await tryMigration(withMistake(`if (${isLate}) await new Promise(() => {});`), check, env);
  });

  const says = /^error: a: update blocked the event loop for more than 0\.5 s/m;

  it('and blocks the process of the command: it ends with 1 and says why', { timeout }, () =>
    tryTwice('primary', 'for (;;);', { code: 1, says, hint: /^ {2}hint: look for an endless loop/m }),
  );

  it('and waits for a child: it is killed, with last words', { timeout }, () =>
    tryTwice('primary', `execSync('exec sleep 6', { stdio: 'ignore' });`, {
      code: null,
      says,
      hint: null,
    }),
  );

  it('and blocks a worker: the worker is ended, all is done', { timeout }, () =>
    tryTwice('worker', 'for (;;);', {
      code: 0,
      says: /worker \d+ died \(update blocked its event loop for more than 0\.5 s\)/,
      hint: null,
    }),
  );
});

describe('process.exit in update is no success', () => {
  const says =
    /^error: a: its process ended before the work was done\n {2}process\.exit was called by a migration/m;
  const hint = /^ {2}hint: throw an error instead/m;

  const exits = [
    ['primary', 0],
    ['worker', 1],
    ['primary', 1],
    ['worker', 0],
  ] as const;

  it.each(isLong ? exits : exits.slice(0, 2))('in the %s, with %i', { timeout }, (where, code) =>
    tryTwice(where, `process.exit(${code});`, { code: 1, says, hint }),
  );

  it('for a program either', async () => {
    await withDatabase(async ({ url }) => {
      const source = 'export const up = async (db) => { await db.raw("select 1"); process.exit(0); };';
      const { code, stdout } = await run(['up', '--json'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expect(code).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'MIGRATION_FAILED' } });
    });
  });

  it('and process.exitCode no failure', async () => {
    await tryMigration(withMistake('process.exitCode = 7;'), ({ code, stderr }, done) => {
      expect(code, stderr).toBe(0);
      expect(done.sum).toBe(rows);
    });
  });
});
