import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { plansOf, slugs, tables } from '../support/planned.ts';
import { makeProject } from '../support/project.ts';

describe('plan', () => {
  it('finds an update that writes through a connection of its own, whether it waits for itself or not', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const outside = (rest: string): string => `
        import { createRequire } from 'node:module';
        const pg = createRequire(${JSON.stringify(import.meta.filename)})('pg');
        const own = new pg.Client({ connectionString: process.env.DATABASE_URL });
        await own.connect();
        ${rest}`;
      const awaited = outside(`
        export const select = (db) => db('people').select('id');
        export const update = async (db, rows) => {
          await db.raw('select 1');
          await own.query('update people set score = 7 where id = any ($1)', [rows.map(({ id }) => id)]);
        };`);
      const first = outside(`
        import { setBased } from 'umzug-cluster';
        export const select = (db) => db('people').where('id', '<', 900);
        export const update = setBased(async (chunk) => {
          own.query('update people set score = 8 where id = 1').catch(() => undefined);
          await chunk.update({ score: 8 });
        });`);
      const project = makeProject({ 'a.ts': awaited });
      for (const source of [awaited, first]) {
        project.write('a.ts', source);
        const { code, stderr } = await run(['plan'], { cwd: project.dir, url });
        expect(stderr).toMatch(/^error: a: update wrote outside its transaction\n/);
        expect(code).toBe(1);
      }
    });
  });

  it('tells of an update whose result depends on where chunks end, by rows and by sets, and of no other', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${tables};
        update people set score = 10000 - id;
        create table places (id bigint primary key, place int not null);
        insert into places select id, id from people;
        create function rank_of(int) returns bigint stable language sql as
          'select 1 + count(*) from public.people as p where p.score > $1';
        create function is_first(bigint) returns boolean stable language sql as
          'select not exists (select from public.places as p where p.id < $1 and p.place = 0)';
        create sequence steps`);
      const head = `import { setBased, updateRows } from 'umzug-cluster';`;
      const project = makeProject({
        'a.ts': `${head}
          export const select = (db) => db('people').select('id', db.raw('rank_of(score)::int as score'));
          export const update = (db, rows) => updateRows(db, 'people', rows, { key: ['id'], set: ['score'] });`,
        'b.ts': `${head}
          export const select = (db) => db('people');
          export const update = setBased((chunk, db) => chunk.update({ score: db.raw('rank_of(score)') }));`,
        'c.ts': `${head}
          export const select = (db) => db('people').select('id').whereRaw('is_first(people.id)');
          export const update = async (db, rows) => {
            const ids = rows.map(({ id }) => id);
            await db('places').whereIn('id', ids).update({ place: 0 });
            await db('people').whereIn('id', ids).update({ slug: 'first' });
          };`,
        'd.ts': `${head}
          export const select = (db) => db('people').select('id');
          export const update = (db, rows, { chunk }) => db('people').whereIn('id', rows.map(({ id }) => id)).update({
            slug: db.raw("concat(clock_timestamp(), random(), nextval('steps'))"), note: chunk, score: db.raw('score + 1') });`,
        'e.ts': `${head}
          export const select = (db) => db('people');
          export const update = setBased((chunk, db) => chunk.update({ note: db.raw('now()'), score: db.raw('(random() * 2)::int') }));`,
      });
      const { code, stdout, stderr } = await runInProcess(['plan', '--json'], project.dir, {
        DATABASE_URL: url,
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      // Its own look at the columns is no statement of the author's.
      expect(plansOf(stdout)[0]?.sample?.statements).toHaveLength(2);
      const told = plansOf(stdout).map(({ warnings }) =>
        warnings.flatMap((text) => /two chunks than in one: (.*?);/.exec(text)?.slice(1) ?? []),
      );
      expect(told).toEqual([['column "score"'], ['column "score"'], ['column "slug"'], [], []]);
    });
  });

  it('plans the rest of a run that is begun, refuses it with another file, and leaves the ledger as it was', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const breaking = slugs
        .replace(
          '(db, rows) =>',
          `async (db, rows) => {
          if (process.env.BREAKS && rows.some(({ id }) => id > 1000)) await db.raw('select nowhere');
          await `,
        )
        .replace(`db.raw('lower(name)') });`, `db.raw('lower(name)') }); };`);
      const project = makeProject({ 'a.ts': breaking });
      const place = { cwd: project.dir, url };
      const env = { BREAKS: '1', UMZUG_CLUSTER_LANES: '1' };
      expect((await run(['up', '--workers', '1', '--chunk-size', '100'], { ...place, env })).code).toBe(1);
      const ledger = async (): Promise<unknown> =>
        (
          await client.query(
            `select (select jsonb_agg(to_jsonb(r) order by id) from umzug_cluster.runs as r) as runs,
                    (select jsonb_agg(to_jsonb(r) order by no) from umzug_cluster.ranges as r) as ranges,
                    (select count(*) from umzug_cluster.guard_open) as tokens,
                    (select count(*) from umzug_cluster.migrations) as executed`,
          )
        ).rows;
      const before = await ledger();
      const { code, stdout } = await run(['plan', '--json'], place);
      expect(code).toBe(0);
      expect(plansOf(stdout)[0]).toMatchObject({
        isBegun: true,
        sample: { examples: [{ key: ['1001'] }, {}, {}] },
      });
      project.write('a.ts', `${breaking} // changed`);
      const changed = await run(['plan'], place);
      expect(changed.code).toBe(3);
      expect(changed.stderr).toMatch(/a was changed while its run is in progress/);
      expect(await ledger()).toEqual(before);
    });
  });

  it('says that down would be refused, without saying again of which migration, and plans up', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const refused = slugs.replace(`select('id').whereNotNull('slug')`, `select('id').offset(5)`);
      const { dir } = makeProject({ 'a.ts': refused });
      const { code, stdout, stderr } = await run(['plan', '--json'], { cwd: dir, url });
      expect(code, stderr).toBe(0);
      const [planned] = plansOf(stdout);
      expect(planned?.error).toBeNull();
      expect(planned?.warnings.join('\n')).toMatch(/^down would be refused: select must not use offset/m);
    });
  });
});
