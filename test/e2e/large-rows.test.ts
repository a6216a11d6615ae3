import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** 2,000 small rows, then 12 documents of 1 MB that compress well, one of 6 MB, then small ones again. */
const documents = `
  create table documents (id int primary key, body jsonb, raw bytea, n int not null default 0);
  insert into documents select i, jsonb_build_object('a', i), '\\x00' from generate_series(1, 2000) as i;
  insert into documents select i, jsonb_build_object('a', repeat(md5(i::text), 4000)), decode(repeat('ab', 1000000), 'hex')
    from generate_series(2001, 2012) as i;
  insert into documents select 2013, null, decode(repeat('ab', 6000000), 'hex');
  insert into documents select i, jsonb_build_object('a', i), '\\x00' from generate_series(2014, 4000) as i;
  create table owners (id int primary key);
  insert into owners select generate_series(1, 4000);
  create table calls (rows int, bytes bigint);
  analyze documents;`;

const update = `
  export const update = async (db, rows) => {
    const bytes = rows.reduce((sum, { body, raw }) => sum + JSON.stringify(body).length + raw.length, 0);
    await db('calls').insert({ rows: rows.length, bytes });
    await db('documents').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
  };`;

const selects = {
  'a plain select': `export const select = (db) => db('documents').select('id', 'body', 'raw');`,
  'all columns': `export const select = (db) => db('documents');`,
  'a join': `export const select = (db) => db('documents as d').join('owners as o', 'o.id', 'd.id').select('d.*');`,
};

const maxBytes = 4_000_000;

describe('large rows among small ones', () => {
  it.each(Object.entries(selects))(
    'never fill a chunk with more than maxBytes: %s',
    async (_what, select) => {
      await withDatabase(async ({ url, client }) => {
        await client.query(documents);
        const { dir } = makeProject({ 'a.ts': `${select}${update}` });
        // of any duration, so that sizes tell of bytes alone
        const env = {
          UMZUG_CLUSTER_MAX_BYTES: String(maxBytes),
          UMZUG_CLUSTER_TARGET_MS: '60000',
          UMZUG_CLUSTER_WORKERS: '1',
        };
        // what a chunk of 2,000 rows of the middle would take many times over
        const heap = { NODE_OPTIONS: '--max-old-space-size=120' };
        const { code, stderr } = await run(['up'], { cwd: dir, url, env: { ...env, ...heap } });
        expect(code, stderr).toBe(0);
        const { rows: done } = await client.query('select min(n), max(n) from documents');
        expect(done).toEqual([{ min: 1, max: 1 }]);
        const { rows: calls } = await client.query<{ rows: number; bytes: string }>('select * from calls');
        const tooLarge = calls.filter(({ rows, bytes }) => rows > 1 && Number(bytes) > maxBytes * 1.5);
        expect(tooLarge).toEqual([]);
        // small rows still go by the thousand
        expect(Math.max(...calls.map(({ rows }) => rows))).toBeGreaterThanOrEqual(500);
        expect(calls.length).toBeLessThan(40);
      });
    },
  );
});
