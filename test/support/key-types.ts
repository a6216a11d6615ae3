import type pg from 'pg';

/** A column type that can be part of a key, and values of it. */
export interface KeyType {
  readonly what: string;
  /** As in `create table`, found with the search path `app, public`. */
  readonly type: string;
  /** A value of it in SQL by `n`, from 1 on; mostly another one for each `n`. */
  readonly value: string;
  /** Its limits and oddities, as literals in SQL. */
  readonly limits?: readonly string[];
  /** The extension that it is of. */
  readonly extension?: string;
}

// What sorts differently by bytes, by JavaScript, and by each collation.
const words = `(array['ä', 'Z', 'a', 'ß', '-', ' ', 'É', '🙂', '''', '"', '\\', '{}'])[n % 12 + 1] || n`;

export const keyTypes: readonly KeyType[] = [
  { what: 'int2', type: 'int2', value: '(n * 109 % 32768)::int2', limits: ['-32768', '32767', '0'] },
  { what: 'int4', type: 'int4', value: 'n * 7001 - 1000000', limits: ['-2147483648', '2147483647'] },
  {
    what: 'int8',
    type: 'int8',
    value: '9007199254740990 + n',
    limits: ['-9223372036854775808', '9223372036854775807'],
  },
  {
    what: 'numeric',
    type: 'numeric',
    value: '(n - 150) * 10::numeric ^ -20',
    limits: [
      `'NaN'`,
      `'Infinity'`,
      `'-Infinity'`,
      '1e1000',
      '1e1000 + 1',
      '-1e1000',
      '-1e-1000',
      '1.10000',
      '1.1',
    ],
  },
  { what: 'uuid', type: 'uuid', value: 'md5(n::text)::uuid', limits: [`repeat('0', 32)`, `repeat('f', 32)`] },
  { what: 'text in the C collation', type: 'text collate "C"', value: words, limits: [`''`] },
  { what: 'text in an ICU collation', type: 'text collate "en-x-icu"', value: words, limits: [`''`] },
  { what: 'text in a libc collation', type: 'text collate of_libc', value: words, limits: [`''`] },
  { what: 'varchar(n)', type: 'varchar(12) collate "de-x-icu"', value: words, limits: [`''`] },
  { what: 'varchar in rules of its own', type: 'varchar collate by_rules', value: words },
  { what: 'text in a nondeterministic collation', type: 'text collate nocase', value: words },
  { what: 'citext', extension: 'citext', type: 'citext', value: words, limits: [`''`] },
  { what: 'char(n)', type: 'char(6)', value: words, limits: [`''`, `'a'`, `'a' || chr(9)`] },
  { what: 'name', type: 'name', value: words },
  { what: 'name in an ICU collation', type: 'name collate "de-x-icu"', value: words },
  {
    what: 'date',
    type: 'date',
    value: `date '4713-01-01 BC' + n * 10000`,
    limits: [`'infinity'`, `'-infinity'`, `'5874897-12-31'`],
  },
  {
    what: 'timestamp',
    type: 'timestamp',
    value: `timestamp '2024-03-31 01:59:59.999900' + n * interval '1 us'`,
    limits: [`'infinity'`, `'-infinity'`, `'294276-12-31 23:59:59.999999'`, `'4713-01-01 00:00:00 BC'`],
  },
  {
    what: 'timestamptz',
    type: 'timestamptz',
    value: `timestamptz '2024-10-26 23:59:59.999900Z' + n * interval '1 us'`,
    limits: [`'infinity'`, `'-infinity'`, `'294276-12-31 23:59:59.999999Z'`, `'4714-11-24 00:00:00Z BC'`],
  },
  { what: 'time', type: 'time', value: `time '00:00' + n * interval '1 us'`, limits: [`'24:00'`] },
  { what: 'timetz', type: 'timetz', value: `(time '00:00' + n * interval '1 us' || '+' || n % 14)::timetz` },
  {
    what: 'interval',
    type: 'interval',
    value: `(n - 150) * interval '1 mon -3 days 00:00:01.000001'`,
    limits: [`'-178000000 years'`, `'178000000 years'`, `'-00:00:00.5'`, `'1 mon'`, `'30 days'`],
  },
  {
    what: 'float4',
    type: 'float4',
    value: '(n - 150) * 0.1::float4',
    limits: [`'NaN'`, `'-infinity'`, `'infinity'`, `'-0'`, `'1e-45'`, `'3.4028235e38'`],
  },
  {
    what: 'float8',
    type: 'float8',
    value: '0.1::float8 * n',
    limits: [`'NaN'`, `'-infinity'`, `'infinity'`, `'-0'`, `'5e-324'`, `'0.30000000000000004'`, `'0.3'`],
  },
  { what: 'bytea', type: 'bytea', value: 'int4send(n * 7919)', limits: [`''`, `'\\x00'`, `'\\xff'`] },
  { what: 'an enum', type: 'mood', value: '(enum_range(null::mood))[n % 8 + 1]' },
  {
    what: 'inet',
    type: 'inet',
    value: `inet '10.0.0.0/8' + n`,
    limits: [`'10.0.0.0'`, `'10.0.0.0/8'`, `'::1'`, `'fe80::1/10'`],
  },
  {
    what: 'cidr',
    type: 'cidr',
    value: `set_masklen((inet '10.0.0.0' + n * 256)::cidr, 24)`,
    limits: [`'::/0'`],
  },
  { what: 'macaddr', type: 'macaddr', value: `lpad(to_hex(n * 7919), 12, '0')::macaddr` },
  { what: 'macaddr8', type: 'macaddr8', value: `lpad(to_hex(n * 7919), 16, '0')::macaddr8` },
  { what: 'bool', type: 'bool', value: 'n % 2 = 0' },
  { what: 'bit(n)', type: 'bit(10)', value: 'n::bit(10)' },
  { what: 'varbit', type: 'varbit', value: `repeat('10', n % 50)::varbit || n::bit(12)`, limits: [`''`] },
  { what: 'money', type: 'money', value: '(n - 150)::money / 100' },
  { what: 'oid', type: 'oid', value: '(4294967295 - n)::oid', limits: ['0'] },
  { what: 'pg_lsn', type: 'pg_lsn', value: `pg_lsn '0/0' + n * 1000000000::numeric` },
  {
    what: 'jsonb',
    type: 'jsonb',
    value: `jsonb_build_object('a', n % 7, 'b', n)`,
    limits: [`'null'`, `'[]'`],
  },
  { what: 'int4range', type: 'int4range', value: 'int4range(n % 7, n + 8)', limits: [`'empty'`, `'(,)'`] },
  {
    what: 'tstzrange',
    type: 'tstzrange',
    value: `tstzrange(timestamptz '2024-10-26 23:59:59.9999Z' + n * interval '1 us', 'infinity')`,
  },
  {
    what: 'int4multirange',
    type: 'int4multirange',
    value: 'int4multirange(int4range(n % 7, n + 8), int4range(9000, 9000 + n))',
    limits: [`'{}'`],
  },
  {
    what: 'int[]',
    type: 'int[]',
    value: 'case n % 9 when 0 then array[[n, 1], [2, null]] else array[n % 7, n, null] end',
  },
  { what: 'text[]', type: 'text[]', value: `array['', '"', null, 'NULL', '\\', n::text]` },
  { what: 'a composite type', type: 'pair', value: `row(n % 7, '"x, ' || n)::pair`, limits: [`'(,)'`] },
  { what: 'a domain', type: 'code', value: `'x' || n` },
  { what: 'a domain in another collation', type: 'code collate "de-x-icu"', value: words },
  { what: 'a domain over a domain over citext', extension: 'citext', type: 'handle', value: words },
  { what: 'a domain over an enum', type: 'temper', value: '(enum_range(null::mood))[n % 8 + 1]' },
  { what: 'a domain over an array', type: 'ints', value: 'array[n % 7, n]' },
  { what: 'a domain over a range', type: 'span', value: 'int4range(n % 7, n + 8)' },
  { what: 'ltree', extension: 'ltree', type: 'ext.ltree', value: `('a.B' || n)::ext.ltree` },
  { what: 'hstore', extension: 'hstore', type: 'ext.hstore', value: `ext.hstore('a', n::text)` },
];

/** The extensions whose types are tried. */
const extensions = ['citext', 'ltree', 'hstore'] as const;

/**
 * Makes the types, with the tables' schema `app` first in this client's search path, and sets for all other
 * sessions what a role may set: the types and their operators are not on their path, and every value is shown
 * in another form. Returns the extensions that this server cannot create: the embedded one has all of them.
 */
export async function prepareKeyTypes(client: pg.Client, database: string): Promise<readonly string[]> {
  const { rows: there } = await client.query<{ name: string }>('select name from pg_available_extensions');
  const missing = extensions.filter((name) => !there.some((one) => one.name === name));
  const { rows: server } = await client.query<{ num: number; libc: string }>(
    `select current_setting('server_version_num')::int as num, (select collname::text from pg_collation
       where collprovider = 'c' and collisdeterministic order by collname in ('C', 'POSIX') limit 1) as libc`,
  );
  const { num = 0, libc = 'C' } = server[0] ?? {};
  await client.query('create schema app; create schema ext');
  for (const name of extensions) {
    if (missing.includes(name)) continue;
    await client.query(`create extension ${name} schema ${name === 'citext' ? 'public' : 'ext'}`);
  }
  await client.query(`
    create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    -- rules of one's own came with Postgres 16
    create collation by_rules (provider = icu, locale = 'und'${num < 160_000 ? '' : `, rules = '& Z < a'`});
    create collation of_libc from "${libc}";
    create type mood as enum ('zen', 'sad', 'Happy', 'angry', 'a''b', 'blue', '"', 'k,{}');
    create type pair as (a int, b text);
    create domain code as text collate "C" check (value <> '');
    create domain nick as ${missing.includes('citext') ? 'text' : 'citext'};
    create domain handle as nick;
    create domain temper as mood;
    create domain ints as int[];
    create domain span as int4range;
    set search_path = app, public`);
  for (const [name, value] of Object.entries(hostile)) {
    await client.query(`alter database ${database} set ${name} = '${value}'`);
  }
  return missing;
}

const hostile = {
  search_path: 'app',
  timezone: 'America/St_Johns',
  datestyle: 'SQL, DMY',
  intervalstyle: 'iso_8601',
  extra_float_digits: '-3',
  bytea_output: 'escape',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  default_transaction_deferrable: 'on',
};

/** A column of a key in a test: every `every`-th row has one of the type's limits. */
export interface KeyPart {
  readonly type: KeyType;
  /** As it is quoted in SQL. */
  readonly name: string;
  /** How many different values it has, at most. */
  readonly distinct: number;
}

const limitEvery = 7;

/** SQL that makes a table whose key is `parts`, with columns `no` and `n`, and fills it with at most `rows` rows. */
export function createKeyed(table: string, parts: readonly KeyPart[], rows: number): string {
  const names = parts.map(({ name }) => name).join(', ');
  const values = parts.map(({ type, distinct }, index) => {
    const ordinary = `(${type.value.replaceAll(/\bn\b/g, `(no % ${distinct} + 1)`)})::${withoutCollation(type)}`;
    if (type.limits === undefined) return ordinary;
    const limits = `(array[${type.limits.join(', ')}]::${withoutCollation(type)}[])`;
    const nth = `[no / ${limitEvery + index} % ${type.limits.length} + 1]`;
    return `case when no % ${limitEvery + index} = 0 then ${limits}${nth} else ${ordinary} end`;
  });
  const columns = parts.map(({ name, type }) => `${name} ${type.type}`);
  return `
    create table ${table} (${columns.join(', ')}, no int not null, n int not null default 0, primary key (${names}));
    insert into ${table} (${names}, no) select ${values.join(', ')}, no from generate_series(1, ${rows}) as no
      on conflict do nothing`;
}

function withoutCollation({ type }: KeyType): string {
  return type.replace(/ collate .*/, '');
}
