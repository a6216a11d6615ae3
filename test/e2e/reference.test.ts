import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const reference = readFileSync(path.join(import.meta.dirname, '../../docs/reference.md'), 'utf8');
const migration = `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('1 / (id - 7)') });`;

/** The paths of a value: `rows.done`, `quarantine[].key`; an object of settings is one value. */
function pathsOf(value: unknown, at: string): readonly string[] {
  // a key has as many parts as the table's has columns
  if (at === 'quarantine[].key') return [at];
  if (Array.isArray(value)) return value.length === 0 ? [at] : pathsOf(value[0], `${at}[]`);
  if (typeof value !== 'object' || value === null || at === 'settings') return [at];
  return Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, at === '' ? key : `${at}.${key}`));
}

/** The names in the first column of a table below a heading. */
function documented(heading: string): readonly string[] {
  const section = reference.split(`### ${heading}\n`)[1]?.split(/^##/m)[0] ?? '';
  const cells = section.split('\n').flatMap((line) => /^\|([^|]*)\|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''));
}

it('the reference names every field of `status --json` and no other, and of what `up --json` prints', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(
      'create table t (id int primary key, n int); insert into t select generate_series(1, 20)',
    );
    const place = { cwd: makeProject({ 'a.ts': migration }).dir, url };
    expect(await run(['up', '--workers', '1'], place)).toMatchObject({ code: 1 });
    const { stdout } = await run(['status', '--json'], place);
    const { migrations, ...rest } = JSON.parse(stdout) as { migrations: readonly object[] };
    expect(Object.keys(rest)).toEqual(['database', 'ledgerVersion']);
    // nobody is at work any more, and nothing is stored, so what they are made of is not there to be seen
    const names = documented('One migration in `status --json`').map((name) =>
      name.replace(/^(workers|hosts|undo|conflicts)[[.].*/, '$1'),
    );
    expect([...new Set(names)].toSorted()).toEqual([...pathsOf(migrations[0], '')].toSorted());

    await client.query('update t set id = 700 where id = 7');
    const { stdout: retried } = await run(['retry', 'a', '--workers', '1', '--json'], place);
    const [outcome = {}] = (JSON.parse(retried) as { migrations: readonly object[] }).migrations;
    for (const field of Object.keys(outcome)) expect(reference).toContain(`\`${field}\``);
  });
});
