import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { auditedRows, createAudited, expectCode, rowsUp, runStates } from '../support/audit.ts';
import { run, start, until } from '../support/cli.ts';
import type { Running } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject, rowsMigration } from '../support/project.ts';

/** What another host does between the moment when a command chooses what to run and the moment it begins it. */

const timeout = 120_000;
const env = { UMZUG_CLUSTER_WORKERS: '1' };

/** Holds the host that has HOLD set while it loads this file, until the test lets it go on. */
const holdOnLoad = (source: string): string => `
  import { existsSync, writeFileSync } from 'node:fs';
  import { setTimeout as sleep } from 'node:timers/promises';
  if (process.env.HOLD) {
    writeFileSync('loading', '');
    while (!existsSync('go')) await sleep(5);
  }
  ${source}`;

/** Holds that host when a run of this file is done and recorded, before the next migration begins. */
const holdWhenDone = `
  import { existsSync, writeFileSync } from 'node:fs';
  export const verify = (db) => {
    if (process.env.HOLD) {
      writeFileSync('loading', '');
      const nobody = new Int32Array(new SharedArrayBuffer(4));
      while (!existsSync('go')) Atomics.wait(nobody, 0, 0, 5);
    }
    return db('counters').where('n', '<', 0);
  };`;

const createTables = `${createAudited}; create table others (like counters including all)`;
const others = rowsMigration().replaceAll('counters', 'others');
const schemaStep = `export const up = (db) => db.raw('create table extra ()');
                    export const down = (db) => db.raw('drop table extra');`;

/** Starts a command that stops in the middle, and returns how to let it go on. */
async function startHeld(
  line: readonly string[],
  files: Readonly<Record<string, string>>,
  url: string,
): Promise<{ readonly running: Running; readonly letGo: () => void }> {
  const { dir } = makeProject(files);
  const running = start(line, { cwd: dir, url, env: { ...env, HOLD: '1' } });
  await until('it loads the file', () => existsSync(path.join(dir, 'loading')));
  return { running, letGo: () => writeFileSync(path.join(dir, 'go'), '') };
}

it.each([
  ['data', others],
  ['schema', schemaStep],
])(
  'begins no %s migration when what comes before it was rolled back meanwhile: exit 3',
  async (_kind, second) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTables);
      const first = rowsMigration().replace(/^.*existsSync as isThere.*$/m, '') + holdWhenDone;
      const files = { 'a.ts': first, 'b.ts': second };
      const { running, letGo } = await startHeld(['up'], files, url);
      expect(await rowsUp(client), 'a is done').toBe(auditedRows);
      expectCode(await run(['down'], { cwd: makeProject(files).dir, url, env }), 0);
      letGo();
      const refused = await running.outcome;
      expectCode(refused, 3);
      expect(refused.stderr).toMatch(
        /^error: b comes after a, which another host has rolled back in the meantime$/m,
      );
      expect(refused.stderr).toMatch(/^ {2}hint: .*umzug-cluster up$/m);
      expect((await client.query('select name from umzug_cluster.migrations')).rows).toEqual([]);
      expect(await runStates(client)).toEqual(['a up reverted', 'a down done']);
    });
  },
  timeout,
);

it.each([
  ['data', rowsMigration()],
  ['schema', schemaStep],
])(
  'does not revert a %s migration that was the last one when another was run after it meanwhile: exit 3',
  async (_kind, first) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTables);
      const files = { 'a.ts': holdOnLoad(first), 'b.ts': others };
      const other = { cwd: makeProject(files).dir, url, env };
      expectCode(await run(['up', '--to', 'a'], other), 0);
      const { running, letGo } = await startHeld(['down'], files, url);
      expectCode(await run(['up'], other), 0);
      letGo();
      const refused = await running.outcome;
      expectCode(refused, 3);
      expect(refused.stderr).toMatch(
        /^error: b, which comes after a, was started by another host in the meantime$/m,
      );
      const { rows } = await client.query('select name from umzug_cluster.migrations order by name');
      expect(rows, 'nothing was reverted').toEqual([{ name: 'a' }, { name: 'b' }]);
    });
  },
  timeout,
);

it.each([
  ['up', ['up', '--name', 'a'], []],
  ['down', ['down', '--name', 'a'], ['up']],
] as const)(
  'ends `%s` of a named migration with exit code 0 when another host has done it meanwhile',
  async (command, line, before) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createTables);
      const files = { 'a.ts': holdOnLoad(rowsMigration()) };
      const other = { cwd: makeProject(files).dir, url, env };
      if (before.length > 0) expectCode(await run(before, other), 0);
      const { running, letGo } = await startHeld(line, files, url);
      expectCode(await run(line, other), 0);
      letGo();
      expectCode(await running.outcome, 0);
      expect(await rowsUp(client)).toBe(command === 'up' ? auditedRows : 0);
    });
  },
  timeout,
);
