import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const tables = `
  create table items (id int primary key, n int not null default 0, doc jsonb not null default '{"a": 1}', at date);
  insert into items (id, at) select n, '2026-01-02' from generate_series(1, 20) as n`;

async function migrated(
  source: string,
): Promise<{ code: number | null; said: string; changed: number; setting: string }> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(tables);
    const text = `import assert from 'node:assert/strict'; import { pgClient } from 'umzug-cluster'; ${source}`;
    const up = await run(['up'], { cwd: makeProject({ 'a.ts': text }).dir, url });
    const { rows } = await client.query<{ changed: number; setting: string }>(
      `select count(*) filter (where n = 1)::int as changed, current_setting('work_mem') as setting from items`,
    );
    return {
      code: up.code,
      said: up.stderr,
      changed: rows[0]?.changed ?? -1,
      setting: rows[0]?.setting ?? '',
    };
  });
}

const select = `export const select = (db) => db('items').where('n', 0);`;
const write = `await client.query('update items set n = n + 1 where id = any ($1)', [rows.map(({ id }) => id)]);`;
const updating = (body: string): string =>
  `${select} export const update = async (db, rows) => { const client = pgClient(db); ${body} };`;

describe('pgClient', () => {
  it('answers as node-postgres does', async () => {
    const done = await migrated(
      updating(`
        const joined = 'select a.id, b.id, a.at from items as a join items as b using (id) where a.id = $1';
        const types = { getTypeParser: () => (text) => 'text ' + text };
        const arrays = await client.query({ text: joined, values: [1], rowMode: 'array', types });
        assert.deepEqual(arrays.rows, [['text 1', 'text 1', 'text 2026-01-02']]);
        assert.deepEqual(arrays.fields.map(({ name }) => name), ['id', 'id', 'at']);
        const named = await client.query({ name: 'prepared', text: 'select $1::int as one' }, [1]);
        assert.deepEqual([named.rows, named.rowCount, named.command], [[{ one: 1 }], 1, 'SELECT']);
        const question = await client.query("select '?' as mark, '{\\"a\\": 1}'::jsonb ? 'a' as has");
        assert.deepEqual(question.rows, [{ mark: '?', has: true }]);
        const several = await client.query('select 1 as a; select 2 as b');
        assert.deepEqual(several.map(({ rows }) => rows), [[{ a: 1 }], [{ b: 2 }]]);
        assert.equal(client.escapeIdentifier('a"b') + client.escapeLiteral("it's"), '"a""b"' + "'it''s'");
        assert.equal(pgClient(db), client);
        const pooled = await client.connect();
        assert.equal(pooled, client);
        pooled.release();
        await new Promise((resolve, reject) => {
          client.connect((error, pooled, release) => {
            pooled.query('select 1 as one', (failure, result) => {
              release();
              if (failure ?? result.rows[0].one !== 1) reject(failure); else resolve();
            });
          });
        });
        await client.end();
        ${write}`),
    );
    expect(done, done.said).toMatchObject({ code: 0, changed: 20 });
  });

  it('makes savepoints of transactions, and settings local', async () => {
    const done = await migrated(
      updating(`
        await client.query("SET work_mem = '7MB'; set time zone 'UTC'");
        assert.equal((await client.query('show work_mem')).rows[0].work_mem, '7MB');
        await client.query('BEGIN');
        ${write}
        await client.query('start transaction isolation level read committed');
        await client.query('delete from items').then(() => assert.fail(), () => client.query('ROLLBACK'));
        await client.query('commit;');
        await db.transaction(async (trx) => {
          assert.equal((await pgClient(trx).query('select count(*)::int as count from items')).rows[0].count, 20);
        });`).replace("'delete from items'", "'select 1 / 0'"),
    );
    expect(done, done.said).toMatchObject({ code: 0, changed: 20, setting: '4MB' });
  });

  it.each<[what: string, body: string, message: RegExp]>([
    ['COMMIT of the chunk', `${write} await client.query('commit')`, /a migration must not run COMMIT/],
    ['a transaction that is left open', `await client.query('begin'); ${write}`, /left a transaction.* open/],
    [
      'another isolation level',
      `await client.query('begin isolation level serializable')`,
      /must not run BEGIN/,
    ],
    [
      'a statement that nobody awaits',
      `void client.query('select 1')`,
      /returned while statements were still running/,
    ],
    ['a cursor', `${write} await client.query({ submit() {} })`, /cursors and streams are not supported/],
    ['LISTEN', `${write} await client.query('listen news')`, /must not run LISTEN/],
    [
      'a caught error',
      `await client.query('select 1 / 0').catch(() => undefined)`,
      /caught a SQL error and continued/,
    ],
    [
      'a query of another library in db.raw',
      `await db.raw('update items set n = 1 where id = any ($1)', [rows.map(({ id }) => id)])`,
      /db\.raw takes \? for each value[^]*pgClient\(db\)\.query\(text, values\)/,
    ],
    [
      'the same, as an object',
      `await db.raw({ sql: 'select $1', parameters: [1] })`,
      /pgClient\(db\)\.query/,
    ],
    ['a db of somebody else', `pgClient({ client: {} })`, /db is not the one that umzug-cluster has given/],
  ])('refuses %s, and leaves nothing', async (_what, body, message) => {
    const done = await migrated(updating(body));
    expect(done).toMatchObject({ code: 1, changed: 0 });
    expect(done.said).toMatch(message);
  });
});

describe('a compiled query', () => {
  it.each([
    [
      'of Drizzle',
      `{ sql: "select id from items where n = $1 and doc ? $2 and '$9' <> '?'", params: [0, 'a'] }`,
    ],
    ['of Kysely', `{ sql: 'select "id" from "items" where "n" = $1', parameters: [0], query: {} }`],
    [
      'whose values are used twice',
      `{ sql: 'select id from items where n = $1 or n - $1 = $2', params: [0, 0] }`,
    ],
    ['without values', `{ sql: 'select id from items where n = 0', params: [] }`],
  ])('%s is a select', async (_what, query) => {
    const done = await migrated(
      `export const select = () => (${query});
       export const update = (db, rows) => pgClient(db).query('update items set n = n + 1 where id = any ($1)', [rows.map(({ id }) => id)]);
       export const verify = () => (${query});`,
    );
    expect(done, done.said).toMatchObject({ code: 0, changed: 20 });
  });

  it('is refused where knex would change it', async () => {
    const done = await migrated(
      `export const select = () => ({ sql: "select id from items where doc::text <> '\\\\?'", params: [] });
       export const update = (db) => db('items').update('n', 1);`,
    );
    expect(done.said).toMatch(/a backslash before a question mark/);
    expect(done).toMatchObject({ code: 2, changed: 0 });
  });
});
