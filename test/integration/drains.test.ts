import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  countMatching,
  countWritten,
  keepMatching,
  matchingKeys,
} from '../../src/migration/chunk/still-matches.ts';
import { inPlaces } from '../../src/migration/key/key.ts';
import { connect } from '../support/database.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

/** Whether rows still match after an update, asked in its own transaction. */

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
});

afterAll(async () => {
  await select.drop();
});

beforeEach(async () => {
  await select.client.query(`
    drop table if exists t;
    create table t (id int primary key, version int, n int not null default 0);
    insert into t (id) select generate_series(1, 10)`);
});

const open = () => db('t').whereNull('version');
const range = { after: ['2'], upTo: ['8'] };

async function countOf(statement: Parameters<SelectDatabase['run']>[0]): Promise<number> {
  return Number((await select.run(statement))[0]?.['count']);
}

describe('rows that are written and still match', () => {
  it('are those of this transaction in the range, with its savepoints, released or open', async () => {
    const { shape, base } = await select.prepare(open());
    const { client } = select;
    await client.query('begin');
    expect(await countOf(countWritten(shape, base, range)), 'nothing is written').toBe(0);
    await client.query('update t set n = 1 where id = 3');
    await client.query('savepoint one; update t set n = 1 where id = 4; release one');
    await client.query('savepoint two; update t set n = 1 where id in (5, 9)');
    expect(await countOf(countWritten(shape, base, range))).toBe(3);
    await client.query('rollback to two; update t set version = 1 where id = 3');
    expect(await countOf(countWritten(shape, base, range))).toBe(1);
    await client.query('rollback');
  });

  it('are not those that others have written since', async () => {
    const { shape, base } = await select.prepare(open());
    const other = await connect(select.url);
    await select.client.query('begin; update t set version = 1 where id between 3 and 5');
    await other.query('update t set n = 7 where id = 6');
    await other.query('insert into t (id) values (11)');
    expect(await countOf(countWritten(shape, base, { after: null, upTo: ['11'] }))).toBe(0);
    const keys = [['5'], ['6'], ['7']];
    expect(await countOf(countWritten(shape, base, keys)), 'by keys').toBe(0);
    await select.client.query('rollback');
    await other.end();
  });

  it('are found by key wherever their rows have moved', async () => {
    const { shape, base } = await select.prepare(open());
    const places = { after: null, upTo: ['(0,5)'] };
    const keys = await select.keysOf(matchingKeys(shape, base, inPlaces(base), places));
    expect(keys.map(([id]) => Number(id))).toEqual([1, 2, 3, 4, 5]);
    await select.client.query('begin; update t set n = 1; update t set version = 1 where id <= 3');
    expect(await countOf(countMatching(shape, base, keys))).toBe(2);
    expect(await countOf(countWritten(shape, base, keys))).toBe(2);
    await select.client.query('rollback');
  });

  it('are found by keys that stay on the server, until the transaction ends', async () => {
    const { client } = select;
    const { shape, base } = await select.prepare(open());
    const kept = keepMatching(shape, base, inPlaces(base), { after: null, upTo: ['(0,5)'] });
    if (kept === null) throw new Error('a key of one column is kept');
    await client.query('begin');
    expect(await countOf(kept.keep)).toBe(5);
    await client.query('update t set n = 1; update t set version = 1 where id <= 3');
    expect(await countOf(countWritten(shape, base, kept))).toBe(2);
    await client.query('rollback');
    const { rows } = await client.query(`select current_setting('umzug_cluster.chunk_keys', true) as kept`);
    expect(rows[0].kept ?? '').toBe('');
  });

  it('are not kept there where no array can hold their keys', async () => {
    await select.client.query('create table pairs (a int, b text, version int, primary key (a, b))');
    const { shape, base } = await select.prepare(db('pairs').whereNull('version'));
    expect(keepMatching(shape, base, inPlaces(base), { after: null, upTo: ['(0,5)'] })).toBeNull();
  });
});
