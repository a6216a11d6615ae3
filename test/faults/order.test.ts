import { readFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { killAll } from '../support/audit.ts';
import { rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { hurry, makeProject } from '../support/project.ts';

/** A key that is sorted in another way than when a run began: what its cursors have passed is another thing. */

const rows = 1_500;
const timeout = 120_000;
const args = ['up', '--workers', '1', '--chunk-size', '50'];

const table = `
  create table words (id text collate "en-x-icu" primary key, n int not null default 0, is_done boolean);
  insert into words (id) select (array['ä', 'Z', 'a', 'ß', '-', 'É', 'z', '_'])[i % 8 + 1] || i
    from generate_series(1, ${rows}) as i;
  analyze words`;

// Finds only what is not done: so the run can be begun anew.
const source = `
  import { existsSync as isThere } from 'node:fs';
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('words').whereNull('is_done');
  export const update = setBased(async (chunk, db) => {
    if (!isThere('enough')) await db.raw('select pg_sleep(0.3)');
    await chunk.update({ n: db.raw('n + 1'), is_done: true });
  });
  export const down = {
    select: (db) => db('words').where('is_done', true),
    update: setBased((chunk, db) => chunk.update({ n: db.raw('n - 1'), is_done: null })),
  };`;

const guide = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'operating.md'), 'utf8');

/** The statement that the guide gives for a run whose keys are sorted in another way. */
function byHand(name: string): string {
  const [, section = ''] = guide.split('## What if keys are sorted in another way?');
  return (/```sql\n([^]*?)```/.exec(section)?.[1] ?? '').replaceAll('NAME', name);
}

async function counts(client: pg.Client): Promise<unknown> {
  return (await client.query('select n, count(*)::int as rows from words group by n order by n')).rows;
}

it.each([
  [
    'its library has another version',
    // What the ledger would hold of a run that began under another version.
    `update umzug_cluster.runs set plan = jsonb_set(plan, '{base,key,0,collation}',
       to_jsonb(regexp_replace(plan #>> '{base,key,0,collation}', '@.*', '@1.0')))`,
    /collation pg_catalog\."en-x-icu"\(en\)@1\.0 then, \S+@[\d.]+ now/,
  ],
  [
    'its column was given another collation',
    'alter table words alter id type text collate "C"',
    /collation pg_catalog\."en-x-icu"\(en\)@[\d.]+ then, pg_catalog\."C"\(C\) now/,
  ],
])(
  'neither goes on nor back where %s, and begins anew where the guide says how',
  async (_why, change, says) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const killed = start(args, place);
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await killAll(client, killed);
      hurry(place.cwd);
      const before = await counts(client);
      expect(before).toHaveLength(2);
      await client.query(change);
      for (const verb of ['up', 'down', 'plan']) {
        const { code, stdout, stderr } = await run([verb], place);
        expect(code, stderr).toBe(3);
        const said = stdout + stderr;
        expect(said).toContain('a: the key column "id" is sorted differently than when the run started');
        expect(said).toMatch(says);
      }
      expect(await counts(client), 'nothing ran').toEqual(before);

      await client.query(byHand('a'));
      const { code, stderr } = await run(['up'], place);
      expect(code, stderr).toBe(0);
      expect(await counts(client)).toEqual([{ n: 1, rows }]);
      expect(await run(['verify'], place)).toMatchObject({ code: 0 });
      expect(await run(['down'], place)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  },
  timeout,
);
