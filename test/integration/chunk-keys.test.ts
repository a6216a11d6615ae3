import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  countKeys,
  keyAtOffset,
  lockKeys,
  rowsByKeys,
  splitRows,
  upperKey,
} from '../../src/migration/chunk-queries.ts';
import { SelectDatabase, db } from '../support/select-database.ts';

let select: SelectDatabase;

beforeAll(async () => {
  select = await SelectDatabase.create();
});

afterAll(async () => {
  await select.drop();
});

describe('chunks visit every row exactly once', () => {
  const icu = `create collation if not exists nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;
  it.each<[what: string, columns: string, key: string, values: string]>([
    ['uuid', 'id uuid', 'id', `select pg_catalog.gen_random_uuid() from generate_series(1, 500)`],
    ['bigint past 2^53', 'id bigint', 'id', `select 9007199254740992 + n from generate_series(-250, 249) n`],
    [
      'text of an ICU collation',
      'id text collate "und-x-icu"',
      'id',
      `select chr(65 + n % 58) || n || 'é' from generate_series(1, 500) n`,
    ],
    [
      'text of a nondeterministic collation',
      'id text collate nocase',
      'id',
      `select case n % 2 when 0 then 'K' else 'k' end || n from generate_series(1, 500) n`,
    ],
    [
      'text with quotes, commas, backslashes',
      'id text',
      'id',
      `select n || '",\\{}'' ?$1 ' || n from generate_series(1, 500) n`,
    ],
    [
      'timestamptz a microsecond apart',
      'id timestamptz',
      'id',
      `select '2025-03-30 00:59:59Z'::timestamptz + n * interval '1 microsecond' from generate_series(1, 500) n`,
    ],
    ['char(5)', 'id char(5)', 'id', `select 'a' || n from generate_series(1, 500) n`],
    ['an enum', 'id mood', 'id', `select unnest(enum_range(null::mood))`],
    [
      'numeric with infinity and NaN',
      'id numeric',
      'id',
      `select n / 3.0 from generate_series(1, 497) n union all values ('NaN'), (-1e300), (1e-300)`,
    ],
    [
      'bytea',
      'id bytea',
      'id',
      `select decode(lpad(to_hex(n), 4, '0'), 'hex') from generate_series(1, 500) n`,
    ],
    ['an array', 'id int[]', 'id', `select array[n % 7, n] from generate_series(1, 500) n`],
    [
      'a composite key',
      'a text collate "und-x-icu", b bigint',
      'a, b',
      `select chr(65 + n % 5), n from generate_series(1, 500) n`,
    ],
    ['a quoted name', `"Weird ""?$1 id" int`, `"Weird ""?$1 id"`, `select n from generate_series(1, 500) n`],
  ])('with %s', async (_what, columns, key, values) => {
    await select.client.query(`${icu}; drop table if exists visited; drop type if exists mood cascade`);
    await select.client.query(`create type mood as enum ('sad', 'ok', 'happy', 'angry', 'zen', 'blue')`);
    await select.client.query(`create table visited (${columns}, primary key (${key}))`);
    await select.client.query(`insert into visited ${values}`);
    const { shape, base } = await select.prepare(db('visited'));
    const total = Number((await select.client.query('select count(*) from visited')).rows[0].count);
    const { rows, keys } = await select.visit(shape, base, total > 6 ? 37 : 2);
    expect(keys).toHaveLength(total);
    expect(new Set(keys.map((one) => JSON.stringify(one))).size).toBe(total);
    expect(Object.keys(rows[0] ?? {}).filter((name) => name.startsWith('__umzug'))).toEqual([]);
    // The probes agree with the visit.
    const stop = await select.stopKey(base);
    expect(await select.keysOf(keyAtOffset(base, null, stop, 3))).toEqual([keys[3]]);
    expect(await select.keysOf(keyAtOffset(base, keys[0] ?? null, stop, 1))).toEqual([keys[2]]);
    expect(await select.keysOf(upperKey(base, null, stop, total))).toEqual([stop]);
    expect(await select.keysOf(upperKey(base, null, stop, total + 1))).toEqual([]);
    const [counted] = await select.run(countKeys(base, keys));
    expect(Number(counted?.['count'])).toBe(total);
    expect(await select.keysOf(lockKeys(base, [...keys].reverse()))).toEqual(keys);
    expect(splitRows(await select.run(rowsByKeys(shape, base, keys)), base).keys).toEqual(keys);
    expect(await select.run(rowsByKeys(shape, base, []))).toEqual([]);
  });
});
