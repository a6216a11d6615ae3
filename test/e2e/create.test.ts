import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Place, run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const tables = `
  create type mood as enum ('sad', 'it''s ok');
  create domain small as int check (value < 1000);
  create table many (
    tenant int, "number" bigint, "it's" text, price numeric, ratio float8, at timestamptz not null, born date,
    data jsonb, raw bytea, tags text[], marks int4[], m mood, s small, ok bool not null,
    doubled float8 generated always as (ratio * 2) stored, primary key (tenant, "number"));
  insert into many (tenant, "number", at, ok) values (1, 2, now(), true);
  create table without_key (a int);
  create table only_unique (code text not null unique, name text);
  insert into only_unique values ('x', null)`;

/** The text of the newest migration. */
function newest({ cwd }: Place): string {
  const folder = path.join(cwd, 'migrations');
  return readFileSync(path.join(folder, readdirSync(folder).toSorted().at(-1) ?? ''), 'utf8');
}

describe('create --table', () => {
  it('fills in columns, types and key; what it writes loads, and changes nothing before it is filled in', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const place = { cwd: makeProject({}).dir, url };
      const { code, stdout, stderr } = await run(['create', '--name', 'a', '--table', 'many'], place);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(/^migrations\/.*\.a\.ts\n$/) as string,
      });
      expect(stderr).toMatch(/^fill it in, then run:\n {2}umzug-cluster plan .*\.a\n {2}umzug-cluster up\n$/);
      expect(
        /interface Row \{\n([^}]*)\}/
          .exec(newest(place))?.[1]
          ?.split('\n')
          .map((line) => line.trim()),
      ).toEqual([
        'tenant: number;',
        'number: string;',
        `'it\\'s': string | null;`,
        'price: string | null;',
        'ratio: number | null;',
        'at: Date;',
        'born: Date | null;',
        'data: unknown;',
        'raw: Buffer | null;',
        'tags: string[] | null;',
        'marks: number[] | null;',
        `m: 'sad' | 'it\\'s ok' | null;`,
        's: number | null;',
        'ok: boolean;',
        'doubled: number | null;',
        '',
      ]);
      expect(newest(place)).toContain(`{ key: ['tenant', 'number'], set: ['it\\'s'] }`);
      const planned = await run(['plan'], place);
      expect(planned.code).toBe(1);
      expect(planned.stderr).toMatch(/a: the sample failed: not filled in yet: tenant, number, it's/);
      const set = [
        'create',
        '--name',
        'b',
        '--kind',
        'set',
        '--table',
        'public.many',
        '--allow-confusing-ordering',
      ];
      expect((await run(set, place)).code).toBe(0);
      expect(newest(place)).toContain(`db('public.many').whereNull('it\\'s')`);
      expect((await run(['up', '--workers', '1'], place)).code).toBe(1);
      expect((await client.query(`select "it's" as it from many`)).rows).toEqual([{ it: null }]);
    });
  });

  it('names a key that is not the primary key, or that there is none, and refuses unknown tables by near names', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const place = { cwd: makeProject({}).dir, url };
      for (const [table, message] of [
        ['withoutkey', /table "withoutkey" does not exist[^]*did you mean "without_key"\?/],
        ['a.b.c', /"a\.b\.c" is not a table: give TABLE or SCHEMA\.TABLE/],
      ] as const) {
        const refused = await run(['create', '--name', 'a', '--table', table], place);
        expect(refused).toMatchObject({ code: 2, stdout: '' });
        expect(refused.stderr).toMatch(message);
      }
      expect(readdirSync(path.join(place.cwd, 'migrations'))).toEqual([]);
      expect((await run(['create', '--name', 'a', '--table', 'only_unique'], place)).code).toBe(0);
      expect(newest(place)).toContain(`export const options = { key: ['code'] };`);
      expect((await run(['create', '--name', 'b', '--table', 'without_key'], place)).code).toBe(0);
      expect(newest(place)).toContain(`.select('ctid', 'a')`);
      expect(newest(place)).toContain(`{ key: ['ctid'], set: ['a'] }`);
      const purge = await run(['create', '--name', 'c', '--kind', 'purge', '--table', 'without_key'], place);
      expect(purge).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/purge is for a table with a key; without_key has none/) as string,
      });
    });
  });

  it('writes as the project does: CommonJS, modules, TypeScript, or as its migrations are', async () => {
    const written = async (
      manifest: object,
      files: Readonly<Record<string, string>> = {},
    ): Promise<string> => {
      const project = makeProject(files);
      writeFileSync(path.join(project.dir, 'package.json'), JSON.stringify(manifest));
      // In a process of its own, which loads modules as Node does.
      const place = { cwd: project.dir, url: null, env: {} };
      const { code, stdout } = await run(
        ['create', '--name', 'z', '--prefix', 'NONE', '--kind', 'set'],
        place,
      );
      expect(code).toBe(0);
      const valid = await run(['validate', '--offline'], place);
      expect(valid.code, valid.stderr).toBe(0);
      return `${path.basename(stdout.trim())} ${newest(place).split('\n')[1] ?? ''}`;
    };
    expect(await written({})).toBe(`z.js const { setBased } = require('umzug-cluster');`);
    expect(await written({ type: 'module' })).toBe(`z.js import { setBased } from 'umzug-cluster';`);
    expect(await written({ devDependencies: { typescript: '7' } })).toBe(
      `z.ts import { setBased, type Select } from 'umzug-cluster';`,
    );
    const step = { 'a.mjs': `export const up = (db) => db.raw('select 1');` };
    expect(await written({}, step)).toBe(`z.mjs import { setBased } from 'umzug-cluster';`);
    const broken = makeProject({});
    writeFileSync(path.join(broken.dir, 'package.json'), '{');
    const refused = await run(['create', '--name', 'a'], { cwd: broken.dir, url: null });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/^error: package\.json cannot be read/);
  });
});
