import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Outcome, type Place, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { tables } from '../support/examples.ts';
import { makeProject } from '../support/project.ts';

/** Every command line that the README and the help texts show is run as it stands. */

const root = path.join(import.meta.dirname, '..', '..');

const built = pathToFileURL(path.join(root, 'dist/commands/all.js')).href;

async function shownLines(): Promise<readonly string[]> {
  const { commands } = (await import(/* @vite-ignore */ built)) as typeof import('../../src/commands/all.ts');
  // What a shell does with the output is the shell's.
  const inHelp = commands.flatMap(({ examples }) => examples.map(([line]) => line.replace(/ >.*/, '')));
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  const inReadme = [...readme.matchAll(/`umzug-cluster ([^`]+)`/g)].map(([, line]) => line ?? '');
  return [...new Set([...inHelp, ...inReadme])].toSorted();
}

const lines = await shownLines();

// Empty where nothing is pending, or nothing executed.
const silent = new Set(['pending', 'executed']);

const migration = (seconds: number): string => `
  export const select = (db) => db('people').select('id').where('score', '>', 0);
  export const update = async (db, rows) => {
    await db.raw('select pg_sleep(${seconds})');
    await db('people').whereIn('id', rows.map(({ id }) => id)).update({ score: 0 });
  };
  export const down = { select: (db) => db('people').select('id'), update };`;

interface Situation {
  readonly place: Place;
  readonly client: pg.Client;
}

async function done({ place }: Situation): Promise<void> {
  expect(await run(['up'], place)).toMatchObject({ code: 0 });
}

async function doneWithUndo({ place }: Situation): Promise<void> {
  const env = { ...place.env, UMZUG_CLUSTER_UNDO: 'true' };
  expect(await run(['up'], { ...place, env })).toMatchObject({ code: 0 });
}

/** A run whose only host has died. */
async function begun({ place, client }: Situation): Promise<void> {
  const up = start(['up', '--chunk-size', '1'], place);
  await until('a chunk is committed', async () => (await rowsDone(client)) > 0);
  killGroup(up.pid);
  await up.outcome;
}

async function paused(situation: Situation): Promise<void> {
  await begun(situation);
  expect(await run(['pause', '1-a'], situation.place)).toMatchObject({ code: 0 });
}

async function takenOver({ place }: Situation): Promise<void> {
  expect(await run(['baseline', '--to', '1-a'], place)).toMatchObject({ code: 0 });
}

async function recordedByKnex({ client }: Situation): Promise<void> {
  await client.query('create table knex_migrations (id int, name text)');
  await client.query(`insert into knex_migrations values (1, '1-a.js')`);
}

async function inTenants({ place, client }: Situation): Promise<void> {
  await client.query('create schema tenant_7; create table tenant_7.people as select * from people');
  await client.query('alter table tenant_7.people add primary key (id)');
  const targets = `migrations: { cluster: { targets: { schemas: 'tenant_%' } } }`;
  const knexfile = `export default { client: 'pg', connection: process.env.DATABASE_URL, ${targets} };`;
  writeFileSync(path.join(place.cwd, 'knexfile.mjs'), knexfile);
}

async function withEvents({ client }: Situation): Promise<void> {
  await client.query('create table events (id int primary key, created_at timestamptz not null)');
}

/** What there is before a line is run; the first that fits. */
const before: readonly (readonly [line: RegExp, make: (situation: Situation) => Promise<void>])[] = [
  [/^forget|--overwrite/, doneWithUndo],
  [/^(down|verify)/, done],
  [/^(pause|cancel|set)/, begun],
  [/^resume|--past/, paused],
  [/--undo/, takenOver],
  [/--from knex/, recordedByKnex],
  [/--targets/, inTenants],
  [/--table events/, withEvents],
];

/** Runs a line; what waits for others gets them, and what watches, or serves, is stopped once it has said something. */
async function runLine(line: string, args: readonly string[], place: Place): Promise<Outcome> {
  if (!/--wait|--watch|^ui|^worker/.test(line)) return await run(args, place);
  const running = start(args, place);
  if (!line.includes('--wait')) running.child.stdout?.once('data', () => running.child.kill('SIGINT'));
  const others = line.includes('--wait') ? [run(['up'], place)] : [];
  const outcome = await running.outcome;
  await Promise.all(others);
  return outcome;
}

describe('the command lines', () => {
  it('are found', () => {
    expect(lines).toEqual(
      expect.arrayContaining(['up', 'down --to 0 --yes', 'status NAME --json', 'retry NAME']),
    );
  });

  it.each(lines)('umzug-cluster %s', async (line) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const [, prepare] = before.find(([pattern]) => pattern.test(line)) ?? [];
      const { dir } = makeProject({
        '1-a.ts': migration(prepare === begun || prepare === paused ? 0.1 : 0),
      });
      const env = line.startsWith('ui') ? { UMZUG_CLUSTER_TOKEN: 'a-token-of-the-test' } : {};
      const place = { cwd: dir, url, env };
      await prepare?.({ place, client });
      const name = line.startsWith('create') ? 'a-name' : '1-a';
      const { code, stdout, stderr } = await runLine(line, line.replace(/\bNAME\b/, name).split(' '), place);
      // A part of the keys is one of more, which are left to the next up.
      const isPart = line.includes('--from-key');
      expect(code, stderr).toBe(isPart ? 5 : 0);
      if (!silent.has(line) && !isPart) expect(stdout).not.toBe('');
    });
  });
});
