import { beforeAll, describe, expect, it } from 'vitest';
import { type Outcome, type Place, killGroup, rowsDone, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { countersOf, hurry, makeProject, rowsMigration, setMigration } from '../support/project.ts';

/** What every supported version of Node and Postgres must do; `make test-matrix` runs it on each. */

const allRows = 4_000;

const schema = `
  export const up = (db) => db.schema.alterTable('counters', (table) => table.text('note'));
  export const down = (db) => db.schema.alterTable('counters', (table) => table.dropColumn('note'));`;
const values = `
  import { updateRows } from 'umzug-cluster';
  export const select = (db) => db('counters').select('id').whereNull('note');
  export const update = (db, rows) => updateRows(db, 'counters',
    rows.map(({ id }) => ({ id, note: 'row ' + id })), { key: ['id'], set: ['note'] });
  export const down = {
    select: (db) => db('counters').select('id').whereNotNull('note'),
    update: (db, rows) => db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ note: null }),
  };`;

const undone = `
  import { deleteRows, updateRows } from 'umzug-cluster';
  export const options = { undo: true };
  export const select = (db) => db('counters').select('id');
  export const update = async (db, rows) => {
    await updateRows(db, 'counters', rows.map(({ id }) => ({ id, note: 'new ' + id })), { key: ['id'], set: ['note'] });
    await deleteRows(db, 'other', rows.map(({ id }) => ({ id })), { key: ['id'] });
  };`;

/** The program itself, in a process of its own. */
const tool = (args: readonly string[], place: Place): Promise<Outcome> => start(args, place).outcome;

beforeAll(() => {
  console.log(`node ${process.version}`);
});

describe('one migration of each kind', () => {
  it('is planned, run, verified, and rolled back', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(countersOf(allRows));
      await client.query(
        'create table other as select id from counters; alter table other add primary key (id)',
      );
      const files = { '1-rows.ts': rowsMigration(), '2-sets.ts': setMigration(), '3-schema.ts': schema };
      const place = { cwd: makeProject({ ...files, '4-values.ts': values, '5-undo.ts': undone }).dir, url };
      const sums = async (): Promise<unknown> => {
        const { rows } = await client.query('select min(n)::int as least, max(n)::int as most from counters');
        return rows[0];
      };
      for (const args of [['plan'], ['up'], ['up'], ['status'], ['verify', '4-values']]) {
        expect(await tool(args, place), args.join(' ')).toMatchObject({ code: 0 });
      }
      expect(await sums()).toEqual({ least: 2, most: 2 });
      const filled = async (): Promise<unknown> =>
        (
          await client.query(`
            select count(*) filter (where note = 'row ' || id)::int as filled, (select count(*)::int from other) as others
            from counters`)
        ).rows[0];
      expect(await filled()).toEqual({ filled: 0, others: 0 });
      expect(await tool(['down'], place)).toMatchObject({ code: 0 });
      expect(await filled()).toEqual({ filled: allRows, others: allRows });
      expect(await tool(['down', '--to', '0'], place)).toMatchObject({ code: 0 });
      expect(await sums()).toEqual({ least: 0, most: 0 });
    });
  });
});

it('a run that was killed in the middle is resumed, and every row is changed once', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(countersOf(allRows));
    const place = { cwd: makeProject({ '1-rows.ts': rowsMigration(0.2) }).dir, url };
    const up = start(['up', '--chunk-size', '40', '--workers', '2'], place);
    await until('rows are committed', async () => (await rowsDone(client)) > 0);
    killGroup(up.pid);
    await up.outcome;
    hurry(place.cwd);
    expect(await tool(['up'], place)).toMatchObject({ code: 0 });
    const { rows } = await client.query('select count(*)::int as rows from counters where n = 1');
    expect(rows[0]).toEqual({ rows: allRows });
  });
});
