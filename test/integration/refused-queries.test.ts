import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { UmzugClusterError } from '../../src/index.ts';
import { documented } from '../support/documented.ts';
import { bases, clauses, results, shared, unknown, unstable } from '../support/refused-selects.ts';
import { Selects } from '../support/selects.ts';

let selects: Selects;

beforeAll(async () => {
  selects = await Selects.create();
});

beforeEach(async () => {
  await selects.client.query('drop schema if exists umzug_cluster cascade');
});

afterAll(async () => {
  await selects.drop();
});

/** The error that ends a migration with this `select`; `update` would write. */
async function refused(select: string): Promise<UmzugClusterError> {
  const source = `
    const loaded = new Date();
    export const select = ${select.startsWith('async') ? select : `(db) => ${select}`};
    export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
  const error: unknown = await selects.run([source]).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UmzugClusterError);
  const { rows } = await selects.client.query(`
    select to_regclass('umzug_cluster.runs') as ledger, (select count(*)::int from seen) as written`);
  expect(rows, 'nothing is written').toEqual([{ ledger: null, written: 0 }]);
  return error as UmzugClusterError;
}

describe.each([
  ['a select is refused that has', clauses],
  ['a select is refused that depends on', unstable],
  ['a select is refused that is or returns', results],
  ['a select is refused with an unknown', unknown],
  ['a select is refused that returns rows', bases],
  ['a select is refused with two columns of one name:', shared],
])('%s', (_what, cases) => {
  it.each(cases)('%s', async (_case, select, said) => {
    const { code, message, detail, hint } = await refused(select);
    expect(code).toBe('SELECT_REFUSED');
    expect([message, detail, hint].join('\n')).toMatch(said);
  });
});

describe('a select that the documents show as refused', () => {
  it.each(documented('Queries that are refused'))('%s', async (select = '', says = '') => {
    const { code, message, detail } = await refused(select);
    expect(code).toBe('SELECT_REFUSED');
    expect([message, detail].join('\n')).toContain(says);
  });
});

describe('a select that is another one in a chunk than when the run began', () => {
  it('stops the run, and changes nothing', async () => {
    const source = `
      let calls = 0;
      export const select = (db) => db('people').select('id').where('n', '>', (calls += 1) > 3 ? 1 : 0);
      export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
    await expect(selects.run([source])).rejects.toMatchObject({
      code: 'DRIFT',
      message: expect.stringContaining('select is not the query this run started with'),
    });
    expect((await selects.client.query('select from seen')).rowCount).toBe(0);
  });
});

describe('a join that returns a base row more than once', () => {
  it.each([
    ['built', `db('people as p').join('notes as o', 'o.person_id', 'p.id').select('p.id', 'o.body')`],
    ['raw', `db.raw('select p.id, tag from people p, unnest(p.tags) as tag')`],
  ])('%s: stops the run with an example, and changes nothing', async (_what, select) => {
    const source = `
      export const select = (db) => ${select};
      export const update = (db, rows) => db('seen').insert({ row: 'written' });`;
    await expect(selects.run([source])).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message: expect.stringContaining('select returns some rows more than once'),
      detail: expect.stringMatching(/key \["\d+"\] came \d+ times/),
    });
    expect((await selects.client.query('select from seen')).rowCount).toBe(0);
  });
});

describe('a select of what the role may not read', () => {
  it('is refused with the grant that is missing', async () => {
    const url = new URL(selects.url);
    url.username = `role_${randomBytes(6).toString('hex')}`;
    url.password = randomBytes(12).toString('hex');
    const { client } = selects;
    await client.query(`
      create role ${url.username} login password '${url.password}';
      grant select, update on people to ${url.username}`);
    const source = `
      export const select = (db) => db('people').join('teams', 'teams.id', 'people.team');
      export const update = () => undefined;`;
    try {
      await expect(selects.run([source], url.href)).rejects.toMatchObject({
        code: 'PERMISSION',
        message: expect.stringContaining('permission denied for table teams'),
        hint: `grant select on teams to ${url.username}`,
      });
    } finally {
      await client.query(`drop owned by ${url.username}; drop role ${url.username}`);
    }
  });
});
