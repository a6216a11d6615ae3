/** Types of values, with three values each, as SQL; those whose text is easily changed on the way are among them. */
export const valueTypes: readonly { readonly name: string; readonly values: readonly string[] }[] = [
  ['int', '1', '-2147483648', 'null'],
  ['bigint', '9223372036854775807', '-1', 'null'],
  ['smallint', '1::int2', '2::int2', 'null'],
  ['numeric', '1.10', '1.1000', `'NaN'::numeric`],
  ['numeric(6, 2)', '1.5', '1234.56', 'null'],
  ['float8', `0.1::float8 + 0.2`, `'-0'::float8`, `'Infinity'::float8`],
  ['real', '1.1::real', '3.4028235e38::real', 'null'],
  ['boolean', 'true', 'false', 'null'],
  ['text', `''`, `E' a,"b"\\\\{}\\n\\u00fc'`, `'NULL'`],
  ['varchar(5)', `' a '`, `'null'`, 'null'],
  ['char(4)', `'a   '`, `'ab'`, 'null'],
  ['"char"', `'a'::"char"`, `'b'::"char"`, 'null'],
  ['name', `'a'::name`, `'A b'::name`, 'null'],
  ['app.mood', `'sad'::app.mood`, `'happy'::app.mood`, 'null'],
  ['app.even', '2::app.even', '4::app.even', 'null'],
  ['app.ints', `'{1,2}'::app.ints`, `'{{1},{2}}'::app.ints`, 'null'],
  ['app.place', `row(1, ' a,"b ')::app.place`, `row(null, '')::app.place`, 'null'],
  ['app.place[]', `array[row(1, ' a')::app.place]`, `'{}'::app.place[]`, 'null'],
  ['uuid', `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`, 'gen_random_uuid()', 'null'],
  ['bytea', `'\\x00ff5c'::bytea`, `''::bytea`, 'null'],
  ['date', `'0044-03-15 BC'::date`, `'infinity'::date`, `'2024-02-29'::date`],
  ['time', `'23:59:60'::time`, `'00:00:00.000001'::time`, 'null'],
  ['timetz', `'08:00:00.1+02:30'::timetz`, `'08:00:00-01'::timetz`, 'null'],
  ['timestamp', `'-infinity'::timestamp`, `'2024-02-29 23:59:59.999999'::timestamp`, 'null'],
  [
    'timestamptz',
    `'0044-03-15 12:00:00+00 BC'::timestamptz`,
    `'1890-06-01 00:00:00.5+00'::timestamptz`,
    'null',
  ],
  ['interval', `'1 mon -2 days -03:04:05.000001'::interval`, `'-1 year'::interval`, 'null'],
  ['json', `'{"a":  1, "a": 2}'::json`, `'null'::json`, 'null'],
  ['jsonb', `'{"a": 1.10}'::jsonb`, `'null'::jsonb`, 'null'],
  ['text[]', `array['a', null, '', 'NULL', '"{,']`, `'[0:1]={a,b}'::text[]`, `'{}'::text[]`],
  ['timestamptz[]', `array[now()]`, `array[null::timestamptz]`, 'null'],
  ['int4range', `'[1,5)'::int4range`, `'empty'::int4range`, 'null'],
  ['int4multirange', `'{[1,2),[3,4)}'::int4multirange`, `'{}'::int4multirange`, 'null'],
  ['tstzrange', `tstzrange(now(), null)`, `'empty'::tstzrange`, 'null'],
  ['inet', `'192.168.0.1/24'::inet`, `'10.0.0.1'::inet`, 'null'],
  ['cidr', `'10.0.0.0/8'::cidr`, `'10.0.0.1'::cidr`, 'null'],
  ['macaddr', `'08:00:2b:01:02:03'::macaddr`, 'null', 'null'],
  ['bit(4)', `B'0101'`, `B'1111'`, 'null'],
  ['varbit', `B'01'::varbit`, `B''::varbit`, 'null'],
  ['money', `'-1.50'::money`, `'1234567.89'::money`, 'null'],
  ['point', `point(0.1, -0)`, `point(1, 2)`, 'null'],
  ['polygon', `polygon '((0,0),(1,1),(0.1,2))'`, 'null', 'null'],
  ['tsvector', `'a:1A b''c:2'::tsvector`, `''::tsvector`, 'null'],
  ['jsonpath', `'$.a[*]'::jsonpath`, 'null', 'null'],
  ['pg_lsn', `'16/B374D848'::pg_lsn`, 'null', 'null'],
  ['oid', '4294967295::oid', '1::oid', 'null'],
  ['regclass', `'app.typed'::regclass`, `'pg_class'::regclass`, 'null'],
  ['regtype', `'app.mood'::regtype`, `'int'::regtype`, 'null'],
  ['regclass[]', `array['app.typed'::regclass]`, 'null', 'null'],
].map(([name = '', ...values]) => ({ name, values }));

/** The types that are not Postgres's own, in a schema. */
export function valueTypesSql(schema: string): string {
  return `create type ${schema}.mood as enum ('sad', 'happy');
    create type ${schema}.place as (x int, y text);
    create domain ${schema}.even as int check (value % 2 = 0);
    create domain ${schema}.ints as int[];`;
}
