import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { onServer, withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const guide = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'operating.md'), 'utf8');
const rows = 2_000;

// FAULTS_LONG=1: each setting alone; else those that go together.
const isLong = process.env['FAULTS_LONG'] === '1';

const table = `
  create table properties (
    at timestamptz, ratio float8, code bytea, n int not null default 0,
    primary key (at, ratio, code));
  insert into properties (at, ratio, code)
    select timestamptz '2024-03-10 01:59:59.999999+00' + i * interval '1 microsecond', 0.1 * i, int4send(i)
    from generate_series(1, ${rows}) as i;
  analyze properties;`;

const change = (sign: string): string =>
  `setBased((chunk, db) => chunk.update({ n: db.raw('n ${sign} 1') }))`;
const source = `
  import { setBased } from 'umzug-cluster';
  export const select = (db) => db('public.properties');
  export const update = ${change('+')};
  export const down = { select, update: ${change('-')} };`;
/** A role of the test's own on the shared server, with a password; dropped with what it owns. */
async function withRole(
  work: (on: {
    role: string;
    client: pg.Client;
    place: (source: string) => { cwd: string; url: string };
  }) => Promise<void>,
): Promise<void> {
  const role = `role_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const own = new URL(url);
    own.username = role;
    own.password = password;
    const place = (text: string): { cwd: string; url: string } => ({
      cwd: makeProject({ 'a.ts': text }).dir,
      url: own.href,
    });
    const granting = (/```sql\n([\s\S]*?)```/.exec(guide)?.[1] ?? '').replaceAll('migrator', role);
    await client.query(granting);
    await client.query(`alter role ${role} password '${password}'`);
    try {
      await work({ role, client, place });
    } finally {
      await client.query(`drop owned by ${role} cascade`);
    }
  });
  await onServer(`drop role ${role}`);
}

const counts = async (client: pg.Client): Promise<unknown> =>
  (await client.query('select n, count(*)::int as rows from properties group by n order by n')).rows;

describe('a role with the published grants', () => {
  it('migrates, reverts, lists', async () => {
    await withRole(async ({ client, place }) => {
      const here = place(source);
      const up = await run(['up', '--workers', '2'], here);
      expect(up.code, up.stderr).toBe(0);
      expect(await counts(client)).toEqual([{ n: 1, rows }]);
      for (const verb of ['status', 'pending', 'executed']) {
        expect(await run([verb], here)).toMatchObject({ code: 0 });
      }
      expect(await run(['down'], here)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  });

  it('is refused before anything is changed where it may not update the table', async () => {
    await withRole(async ({ role, client, place }) => {
      await client.query(`revoke update on properties from ${role}`);
      const { code, stderr } = await run(['up'], place(source));
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(/grant .*update.*properties/i);
      const { rows: ledger } = await client.query(`select to_regclass('umzug_cluster.runs') as runs`);
      expect(ledger).toEqual([{ runs: null }]);
    });
  });

  it('is told which schema to create where it may create none', async () => {
    await withRole(async ({ role, client, place }) => {
      await client.query('drop schema umzug_cluster');
      const { code, stderr } = await run(['up'], place(source));
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(`create schema "umzug_cluster" authorization "${role}"`);
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  });

  it('is refused where row-level security would hide rows', async () => {
    await withRole(async ({ client, place }) => {
      await client.query(`alter table properties enable row level security;
        create policy part on properties using (ratio < 10)`);
      const { code, stderr } = await run(['up'], place(source));
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(/row-level security hides rows of "public.properties"[\s\S]*bypassrls/);
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  });

  it('is only slowed down by a connection limit below the number of workers', async () => {
    await withRole(async ({ role, client, place }) => {
      await client.query(`alter role ${role} connection limit 2`);
      const flags = ['up', '--workers', '4', '--chunk-size', '20'];
      const { code, stderr } = await run(flags, place(source));
      expect(code, stderr).toBe(0);
      expect(await counts(client)).toEqual([{ n: 1, rows }]);
    });
  });
});

describe('a role with hostile settings', () => {
  type Settings = readonly (readonly [name: string, value: string])[];
  const formats: Settings = [
    ['datestyle', `'German, DMY'`],
    ['timezone', `'Asia/Kathmandu'`],
    ['extra_float_digits', '-3'],
    ['intervalstyle', 'sql_standard'],
    ['bytea_output', 'escape'],
    ['default_transaction_isolation', 'serializable'],
    ['default_transaction_read_only', 'on'],
    ['default_transaction_deferrable', 'on'],
    ['search_path', 'strange, pg_catalog'],
    ['standard_conforming_strings', 'off'],
    ['enable_indexscan', 'off'],
    ['array_nulls', 'off'],
    ['synchronous_commit', 'off'],
  ];
  const limits: Settings = [
    ['default_transaction_isolation', `'repeatable read'`],
    ['statement_timeout', '10'],
    ['lock_timeout', '1'],
    ['idle_in_transaction_session_timeout', '10'],
    ['transaction_timeout', '10'],
    ['idle_session_timeout', '200'],
  ];
  const named = (settings: Settings): string => settings.map(([name]) => name).join(', ');
  const alone = [...formats, ...limits].map((one): [string, Settings] => [one.join(' = '), [one]]);
  const together: [string, Settings][] = [
    [named(formats), formats],
    [named(limits), limits],
  ];

  it.each(isLong ? alone : together)('migrates every row once in spite of %s', async (_names, settings) => {
    await withRole(async ({ role, client, place }) => {
      // stands before pg_catalog in a strange search path, and would answer in its place
      await client.query(`
        create schema strange;
        grant usage on schema strange to ${role};
        create function strange.count(bigint) returns bigint language sql as 'select -1::bigint';
        create function strange.lie(text, text) returns boolean language sql as 'select false';
        create operator strange.= (leftarg = text, rightarg = text, procedure = strange.lie)`);
      for (const [name, value] of settings) {
        await client.query(`alter role ${role} set ${name} to ${value}`);
      }
      const here = place(source);
      const up = await run(['up', '--chunk-size', '300'], here);
      expect(up.code, up.stderr).toBe(0);
      expect(await counts(client)).toEqual([{ n: 1, rows }]);
      expect(await run(['down', '--chunk-size', '300'], here)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  });

  it('refuses to run where the role keeps the commit guard from firing, which it may not undo', async () => {
    await withRole(async ({ role, client, place }) => {
      await client.query(`alter role ${role} set session_replication_role to replica`);
      const up = await run(['up'], place(source));
      expect(up.stderr).toContain('session_replication_role');
      expect(up.code).not.toBe(0);
      expect(await counts(client)).toEqual([{ n: 0, rows }]);
    });
  });
});
