import knex, { type Knex } from 'knex';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockKeys, lockedChunk, pickKeys, rowsByKeys } from '../../src/migration/chunk/queries.ts';
import { keyAtOffset, upperKey } from '../../src/migration/key/queries.ts';
import { inPlaces } from '../../src/migration/key/key.ts';
import { surveyQuery } from '../../src/migration/table/survey-query.ts';
import { compiled } from '../../src/migration/select/identity.ts';
import { setBasedChunk } from '../../src/migration/chunk/set-chunk.ts';
import { inspectSelect } from '../../src/migration/select/shape.ts';
import { until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { type Key, SelectDatabase, db } from '../support/select-database.ts';

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
});

afterAll(async () => {
  await select.drop();
});

describe('with properties', () => {
  beforeAll(async () => {
    await select.client.query(`
      create schema "Other";
      create table properties (uuid uuid primary key default gen_random_uuid(), kind text, n int);
      insert into properties (kind, n) select case n % 3 when 0 then 'dated' else 'given' end, n from generate_series(1, 62000) n;
      create table "Other"."Things" (a int, b int, note text, primary key (a, b));
      insert into "Other"."Things" select n % 10, n, 'x' from generate_series(1, 300) n;
      create table tags (uuid uuid, tag text);
      insert into tags select uuid, 'tag' || n % 2 from properties where n <= 400;
      analyze;`);
  });

  it('walks the index of the key, without a sort', async () => {
    const { shape, base } = await select.prepare(
      db('properties').select('uuid', 'kind').where('kind', 'dated').orWhere('n', 1),
    );
    const upTo = await select.stopKey(base);
    const [middle] = await select.keysOf(keyAtOffset(base, null, upTo, 30_000));
    const statement = lockedChunk(shape, base, { after: middle ?? null, upTo, limit: 500 });
    const plan = (await select.run({ ...statement, text: `explain ${statement.text}` }))
      .map((row) => row['QUERY PLAN'])
      .join('\n');
    expect(plan).toMatch(/Index Scan using properties_pkey/);
    expect(plan).toMatch(/Index Cond: \(\(uuid > .*\) AND \(uuid <= /);
    expect(plan).not.toMatch(/Sort|Seq Scan/);
  });

  it('keeps a top-level or inside the range, for reading and for set-based writing', async () => {
    const query = db('properties').select('n').where('kind', 'dated').orWhere('n', '<', 100);
    const { shape, base } = await select.prepare(query);
    const upTo = await select.stopKey(base);
    const [upper] = await select.keysOf(upperKey(base, null, upTo, 1000));
    const range = { after: null, upTo: upper ?? [] };
    const expected = await select.client.query(
      `select count(*) from properties where uuid <= $1::uuid and (kind = 'dated' or n < 100)`,
      [upper?.[0]],
    );
    const read = await select.run(lockedChunk(shape, base, { ...range, limit: 5000 }));
    expect(read).toHaveLength(Number(expected.rows[0].count));
    const { sql, bindings } = setBasedChunk(shape, base, range).update({ kind: 'new' }).toSQL().toNative();
    await select.client.query('begin');
    expect((await select.client.query(sql, [...bindings] as unknown[])).rowCount).toBe(read.length);
    await select.client.query('rollback');
  });

  it('writes the rows of some blocks in the order of their keys, and those alone', async () => {
    const { shape, base } = await select.prepare(
      db('properties as p').where('p.n', '<', 900).orWhere('p.n', 1),
    );
    const blocks = { after: ['(1,0)'], upTo: ['(4,0)'] };
    const update = setBasedChunk(shape, inPlaces(base), blocks, base).update({ kind: 'new' });
    const { sql, bindings } = update.toSQL().toNative();
    const here = `ctid > '(1,0)' and ctid <= '(4,0)' and n < 900`;
    const expected = await select.client.query(`select count(*)::int from properties where ${here}`);
    await select.client.query('begin');
    const { rows } = await select.client.query(`explain ${sql}`, [...bindings] as unknown[]);
    const written = await select.client.query(sql, [...bindings] as unknown[]);
    await select.client.query('rollback');
    expect(JSON.stringify(rows)).toMatch(/Sort Key: p\w*\.uuid.*TID Cond: .*Index Scan \w+ properties_pkey/);
    expect(written.rowCount).toBe(expected.rows[0].count);
    expect(written.rowCount).toBeGreaterThan(100);
  });

  it('reads aliases, schemas and composite keys', async () => {
    for (const query of [
      db('Other.Things').where('a', 3),
      db('Other.Things as t').where('t.a', 3),
      db('Things as t').withSchema('Other').where('t.a', 3),
    ]) {
      const { shape, base } = await select.prepare(query);
      expect(base).toMatchObject({ schema: 'Other', name: 'Things' });
      const { rows } = await select.visit(shape, base, 7);
      expect(rows).toHaveLength(30);
      expect(Object.keys(rows[0] ?? {})).toEqual(['a', 'b', 'note']);
    }
  });

  it('picks, locks and reads the rows of a join', async () => {
    const query = db('properties as p')
      .join('tags as t', 't.uuid', 'p.uuid')
      .select('p.uuid', 't.*')
      .where('t.tag', 'tag1')
      .orWhere('p.n', 2);
    const { shape, base } = await select.prepare(query);
    expect(shape.plain).toBe(false);
    const upTo = await select.stopKey(base);
    const seen: Key[] = [];
    for (let from: Key | null = null; ;) {
      const picked: Key[] = await select.keysOf(pickKeys(shape, base, { after: from, upTo, limit: 30 }));
      if (picked.length === 0) break;
      const locked = await select.keysOf(lockKeys(base, picked));
      expect(locked).toEqual(picked);
      const { rows, keys } = await select.read(rowsByKeys(shape, base, locked), base);
      expect(keys).toEqual(picked);
      expect(Object.keys(rows[0] ?? {})).toEqual(['uuid', 'tag']);
      seen.push(...keys);
      from = picked.at(-1) ?? null;
    }
    expect(new Set(seen.map(String)).size).toBe(201);
    expect(seen).toHaveLength(201);
  });

  it('shows each key again where a join multiplies rows', async () => {
    await select.client.query(
      `create table twice (k uuid); insert into twice select uuid from properties where n <= 5`,
    );
    await select.client.query(`insert into twice select k from twice`);
    const { shape, base } = await select.prepare(db('properties').join('twice', 'k', 'uuid').select('n'));
    const picked = await select.keysOf(
      pickKeys(shape, base, { after: null, upTo: await select.stopKey(base), limit: 100 }),
    );
    expect(picked).toHaveLength(5);
    expect((await select.read(rowsByKeys(shape, base, picked), base)).keys).toHaveLength(10);
  });

  it('writes set-based through joins, CTEs and composite keys', async () => {
    const selects: [Knex.QueryBuilder, number][] = [
      [
        db('properties as p').join('tags as t', 't.uuid', 'p.uuid').where('t.tag', 'tag1').orWhere('p.n', 2),
        201,
      ],
      [
        db('properties')
          .with('few', db('tags').where('tag', 'tag1'))
          .whereIn('uuid', db('few').select('uuid')),
        200,
      ],
      [db('Other.Things as t').whereExists(db('tags')).where('t.a', 3).orWhere('t.b', 1), 31],
    ];
    for (const [query, expected] of selects) {
      const { shape, base } = await select.prepare(query);
      const upTo = await select.stopKey(base);
      const [half] = await select.keysOf(keyAtOffset(base, null, upTo, Math.floor(expected / 2)));
      await select.client.query('begin');
      let changed = 0;
      for (const range of [
        { after: null, upTo: half ?? [] },
        { after: half ?? null, upTo },
      ]) {
        const { sql, bindings } = setBasedChunk(shape, base, range).delete().toSQL().toNative();
        changed += (await select.client.query(sql, [...bindings] as unknown[])).rowCount ?? 0;
      }
      await select.client.query('rollback');
      expect(changed).toBe(expected);
    }
  });

  it('counts the rows of a table that was rewritten and not vacuumed as they are, not by its size', async () => {
    const { client } = select;
    const bySession = async (statements: readonly string[]): Promise<void> => {
      const session = await connect(select.url);
      for (const sql of statements) await session.query(sql);
      // when it ends, it tells what it has counted
      await session.end();
    };
    await bySession([
      `create table grown (id int primary key, n int not null) with (autovacuum_enabled = off)`,
      'insert into grown select n, 0 from generate_series(1, 20000) n',
    ]);
    await bySession(['analyze grown']);
    await bySession(Array.from({ length: 3 }, () => 'update grown set n = n + 1, id = -id'));
    await until('its statistics are there', async () => {
      const { rows } = await client.query(
        `select from pg_stat_user_tables where relname = 'grown' and n_tup_upd = 60000`,
      );
      return rows.length;
    });
    const { base } = await select.prepare(db('grown').select('id'));
    expect(base.estimatedRows).toBe(20_000);
  });

  it('draws keys that exist and increase, and counts what a select finds among them', async () => {
    const joined = db('properties as p')
      .join('tags as t', 't.uuid', 'p.uuid')
      .where('t.tag', 'tag1')
      .orWhere('p.n', 2);
    const cases: readonly (readonly [query: ReturnType<typeof db>, matching: number])[] = [
      [db('properties').where('kind', 'dated'), 62_000 / 3],
      [db('properties as p').where('p.kind', 'dated').orWhere('p.kind', 'given'), 62_000],
      [db('Other.Things').where('a', 3), 30],
      [joined, Number((await select.client.query(joined.clone().count('* as n').toQuery())).rows[0].n)],
    ];
    for (const [query, matching] of cases) {
      const { shape, base } = await select.prepare(query);
      const asked = surveyQuery(base, shape);
      const drawn = await select.run(asked);
      const found = Number(drawn.at(-1)?.['found']) * asked.foundEach;
      expect(found, query.toQuery()).toBeGreaterThan(matching * 0.8 - 100);
      expect(found, query.toQuery()).toBeLessThan(matching * 1.2 + 100);
      const all = drawn.map((row) => row['key'] as Key);
      expect(all.length).toBeLessThanOrEqual(1_000);
      expect(await select.keysOf(lockKeys(base, all)), 'in the order of the keys').toEqual(all);
    }
  });

  it('does not let an application rename the hidden columns', async () => {
    const snake = knex({
      client: 'pg',
      wrapIdentifier: (name, wrap) =>
        wrap(name.replace(/_+([a-z])/g, (_all, letter: string) => letter.toUpperCase())),
    });
    for (const query of [
      snake('properties').select('n'),
      snake('properties').join('tags', 'tags.uuid', 'properties.uuid'),
    ]) {
      const { shape, base } = await select.prepare(query);
      const [key] = await select.keysOf(
        pickKeys(shape, base, { after: null, upTo: await select.stopKey(base), limit: 1 }),
      );
      const { rows, keys } = await select.read(rowsByKeys(shape, base, [key ?? []]), base);
      expect(keys).toEqual([key]);
      expect(Object.keys(rows[0] ?? {}).join()).not.toMatch(/umzug/i);
    }
  });

  it('compiles to the same text each time', async () => {
    const make = () => inspectSelect(db('properties').where('kind', 'dated').orderBy('n'), 'x.ts');
    expect(compiled(make())).toEqual(compiled(make()));
    expect(compiled(make())).toEqual({
      sql: 'select * from "properties" where "kind" = ?',
      bindings: ['dated'],
    });
  });
});
