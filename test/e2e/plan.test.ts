import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { longText, plansOf, slugs, tables } from '../support/planned.ts';
import { makeProject } from '../support/project.ts';

const scores = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('people');
  export const update = setBased((chunk, db) => chunk.update({ score: db.raw('score + 2'), city: 2 }));`;

const oneByOne = `
  export const select = (db) => db('people').select('id');
  export const update = async (db, rows) => {
    for (const { id } of rows) await db('people').where({ id }).update({ note: '${longText}y' });
  };`;

const makeLater = `export const up = (db) => db.schema.createTable('later', (t) => t.increments());`;
const fillLater = `
  export const select = (db) => db('later').select('id');
  export const update = (db, rows) => db('later').whereIn('id', rows.map(({ id }) => id)).update({ id: 1 });`;

// Amounts that depend on the speed of the machine and on what else the server writes.
const bytes = String.raw`[\d.]+ (?:bytes|kB|MB)`;
const time = String.raw`(?:[\d.]+ s|\d+m \d\ds)`;

/** The end of a line. */
function lineOf(text: TemplateStringsArray, ...amounts: readonly string[]): RegExp {
  return new RegExp(`${String.raw(text, ...amounts)}$`, 'm');
}

/** All that a plan could leave behind. */
async function everything(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select md5(string_agg(p::text, ',' order by id)) from people as p) as people,
            (select count(*)::int from visits) as visits,
            (select count(*)::int from pg_class where relname not like 'pg\\_%') as relations`,
  );
  return rows[0];
}

describe('plan', () => {
  it('shows a sample of every pending migration, and leaves nothing: no row, no ledger, no table', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const files = {
        '1-slugs.ts': slugs,
        '2-scores.ts': scores,
        '3-later.ts': makeLater,
        '4-fill.ts': fillLater,
      };
      const place = { cwd: makeProject(files).dir, url };
      const before = await everything(client);
      const { code, stdout, stderr } = await run(['plan'], place);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const [first = '', second = '', third = '', fourth = '', last = ''] = stdout.split('\n\n');
      expect(first).toMatch(/^1-slugs \(data\)$/m);
      expect(first).toMatch(/table +public\.people, by id$/m);
      expect(first).toMatch(/rows +3,000 of 3,000$/m);
      expect(first).toMatch(/Index Scan using people_pkey on people/);
      expect(first).toMatch(
        /sample +100 rows, rolled back: nothing remains\n +id +column +before +after\n +1 +slug +null +secret 1$/m,
      );
      expect(first).toMatch(
        /writes +public\.people: 100 updated \(\d+% HOT\)\n +writes +public\.visits: 100 inserted$/m,
      );
      expect(first).toMatch(lineOf`measured +[\d,]+ rows/s in [\d,]+ chunks?, ${bytes} of WAL per row`);
      expect(first).toMatch(
        lineOf`whole run +${time}(?: to ${time})?, ${bytes} of WAL; the table grows by up to ${bytes} until vacuum`,
      );
      expect(first).toMatch(/warning +triggers fire in every chunk: note_visit$/m);
      expect(second).toMatch(/warning +foreign keys are checked for every row: people_city_fkey$/m);
      expect(second).toMatch(
        /warning +every change adds entries to all indexes of "people".*people_score holds/,
      );
      expect(second).not.toContain('note_visit');
      expect(third).toMatch(
        /^3-later \(schema\)\n {2}tried +in .*, rolled back: nothing remains\n +create table "later" .*$/,
      );
      expect(fourth).toBe(
        '4-fill (data)\n  after      3-later\n  table      public.later, by id\n  rows       no rows match now',
      );
      expect(last).toMatch(/^schema migrations were tried in one transaction of .*, which held their locks/);
      expect(await everything(client)).toEqual(before);
      const only = await run(['plan', '3-later', '--no-schema'], place);
      expect(only).toMatchObject({
        code: 0,
        stdout: '3-later (schema)\n  runs       once, in its own transaction: nothing to sample\n',
      });
      const without = await run(['plan', '4-fill', '--no-schema'], place);
      expect(without).toMatchObject({
        code: 0,
        stdout: '4-fill (data)\n  sample     cannot be planned before 3-later has run\n',
      });
      expect((await run(['plan', '3-latre'], place)).stderr).toMatch(
        /no pending migration is named "3-latre"[^]*did you mean "3-later"/,
      );
    });
  });

  it('prints JSON, and keeps values of rows out of the log and short on the terminal', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      await client.query(`
        create table parts (id int primary key, n int) partition by range (id);
        create table parts_1 partition of parts for values from (0) to (1000);
        create index on parts (n);
        insert into parts select i, i from generate_series(1, 20) as i`);
      const partitioned = `
        export const select = (db) => db('parts').select('id');
        export const update = (db, rows) =>
          db('parts').whereIn('id', rows.map(({ id }) => id)).update({ n: 0 });`;
      // A row that is younger than some transaction of the server's may have moved: it is looked for by its key then.
      await until('the rows are older than all that is in progress', async () => {
        const { rows } = await client.query<{ are_old: boolean }>(
          `select bool_and(age(xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)) as are_old from people`,
        );
        return rows[0]?.are_old === true;
      });
      const files = { 'a.ts': oneByOne, 'b.ts': slugs, 'c.ts': partitioned };
      const place = { cwd: makeProject(files).dir, url };
      const { code, stdout, stderr } = await run(['plan', '--json', '--log-level', 'debug'], place);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const [a, b, c] = plansOf(stdout);
      expect(a).toMatchObject({
        kind: 'data',
        blockedBy: null,
        table: 'public.people',
        key: ['id'],
        rows: { estimated: 3_000, table: 3_000 },
        isBegun: false,
        error: null,
        sample: {
          rows: 100,
          changedColumns: ['note'],
          statements: [{ times: 1 }, { sql: 'update "people" set "note" = $1 where "id" = $2', times: 100 }],
        },
      });
      expect(a?.warnings).toEqual([
        expect.stringMatching(/^update runs a statement for every row: updateRows/),
      ]);
      expect(b?.sample).toMatchObject({
        examples: [{ key: ['1'], before: { slug: null }, after: { slug: 'secret 1' } }, {}, {}],
      });
      expect(c).toMatchObject({ rows: { estimated: 20, table: 20 }, sample: { rows: 20 } });
      expect(c?.warnings).toEqual([
        expect.stringMatching(/^every change adds entries to all indexes of "parts".*parts_n_idx holds/),
      ]);
      expect(stdout).not.toContain(longText.slice(0, 100));
      const text = await run(['plan', 'a', '--verbose'], place);
      expect(text.stderr).toBe('');
      expect(text.stdout).not.toContain('x'.repeat(41));
    });
  });

  it('refuses what up refuses, with the same message and code, and plans the others', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const limited = slugs.replace(`whereNull('slug')`, `whereNull('slug').limit(5)`);
      const project = makeProject({ 'a.ts': limited, 'b.ts': slugs });
      const place = { cwd: project.dir, url };
      const planned = await run(['plan', '--json'], place);
      const up = await run(['up', '--json'], place);
      const errorOf = (stdout: string): unknown => (JSON.parse(stdout) as { error: unknown }).error;
      expect(planned.code).toBe(2);
      expect(errorOf(planned.stdout)).toEqual(errorOf(up.stdout));
      expect(plansOf(planned.stdout)[0]).toMatchObject({ sample: null, error: { code: 'SELECT_REFUSED' } });
      expect(plansOf(planned.stdout)[1]).toMatchObject({ sample: { rows: 100 }, error: null });
      project.write('a.ts', slugs.replace('lower(name)', 'lower(nme)'));
      const wrong = await run(['plan', 'a'], place);
      expect(wrong.code).toBe(1);
      expect(wrong.stderr).toMatch(
        /^error: a: the sample failed: .*column "nme" does not exist\n[^]*up` would stop/,
      );
      project.write('a.ts', slugs.replace('db(', 'nothing(').replace(/db\('people'\)\.whereIn/, '[].concat'));
      expect((await run(['plan', 'a'], place)).code).toBe(2);
      expect(await everything(client)).toMatchObject({ visits: 0 });
    });
  });
});
