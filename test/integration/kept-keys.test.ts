import { beforeEach, describe, expect, it } from 'vitest';
import { appDatabase } from '../support/app-schema.ts';
import { runHere, visits } from '../support/visits.ts';

/**
 * A row that gets another key in its chunk would be met again, or never. Where it is known what was set, the
 * server's counters say that no key changed; whatever else may have written makes the runner look.
 */

const database = appDatabase();

beforeEach(async () => {
  await database.client.query(`
    create table t (id int primary key, no int, n int not null default 0, at timestamptz);
    insert into t select no, no from generate_series(1, 40) as no`);
});

function migration(update: string): string {
  return `
    import { setBased, updateRows } from 'umzug-cluster';
    export const select = (db) => db('app.t').select('id');
    export const update = async (db, rows) => {
      const ids = rows.map(({ id }) => id);
      const known = () => db('app.t').whereIn('id', ids).update({ n: db.raw('n + 1') });
      ${update}
    };`;
}

const moveOne = `update app.t set id = id + 1000 where id = 7`;
const movesOne = `create function app.move_one() returns int language sql as '${moveOne}; select 1'`;

describe('a key that a chunk moves is found', () => {
  it.each([
    ['by a statement that is text', `await known(); await db.raw(${JSON.stringify(moveOne)});`],
    [
      'by a builder that sets it',
      `await db('app.t').whereIn('id', ids).update({ id: db.raw('id + 1000') });`,
    ],
    [
      'by updateRows',
      `await updateRows(db, 'app.t', ids.map((id) => ({ no: id, id: id + 1000 })), { key: ['no'], set: ['id'] });`,
    ],
    ['by a function', `await known(); await db.raw('select app.move_one()');`, movesOne],
    [
      'by a statement that is text, beside one that is known and writes as many rows elsewhere',
      `await db('app.other').whereIn('id', ids).update({ n: 1 });
       await db.raw('update app.t set id = id + 1000 where id = any (?)', [ids]);`,
      'create table app.other as select id, n from app.t',
    ],
    [
      'by a cascade from another table of which a known statement writes as many rows',
      `await db('app.other').whereIn('ref', ids).update({ ref: db.raw('ref + 1000') });`,
      `create table app.other (ref int primary key); insert into app.other select id from app.t;
       alter table app.t add foreign key (id) references app.other (ref) on update cascade`,
    ],
    [
      'by a trigger',
      `await known();`,
      `
      create function app.move() returns trigger language plpgsql as
        $$ begin new.id := new.id + 1000; return new; end $$;
      create trigger move before update on app.t for each row execute function app.move()`,
    ],
  ])('%s', async (_how, update, before = '') => {
    await database.client.query(before);
    const source = migration(update);
    await expect(runHere(database.url, () => source, { settings: { chunkSize: 20 } })).rejects.toThrow(
      /moved or deleted/,
    );
    const { rows } = await database.client.query('select count(*)::int as moved from app.t where id > 40');
    expect(rows).toEqual([{ moved: 0 }]);
  });
});

describe('rows are migrated once, whether their keys are looked for or not', () => {
  it.each([
    ['a known update', `await known();`],
    [
      'one that is tried, undone and made again',
      `await db.transaction((inner) => inner('app.t').update({ n: 9 }).then(() => { throw new Error('undone'); })).catch(() => undefined); await known();`,
    ],
    ['one for each row', `for (const id of ids) await db('app.t').where({ id }).increment('n');`],
    ['a statement that is text', `await db.raw('update app.t set n = n + 1 where id = any (?)', [ids]);`],
    [
      'updateRows',
      `await updateRows(db, 'app.t', ids.map((id) => ({ id, n: 1 })), { key: ['id'], set: ['n'] });`,
    ],
    [
      'a trigger that runs before',
      `await known();`,
      `
      create function app.touch() returns trigger language plpgsql as
        $$ begin new.at := now(); return new; end $$;
      create trigger touch before update on app.t for each row execute function app.touch()`,
    ],
  ])('by %s', async (_how, update, before = '') => {
    await database.client.query(before);
    await runHere(database.url, () => migration(update), { settings: { chunkSize: 7 } });
    expect(await visits(database.client, 'app.t')).toEqual({ 1: 40 });
  });
});
