import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { type Outcome, run } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { recordsIn } from '../support/log-records.ts';
import { type Project, makeProject } from '../support/project.ts';

const table = `create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 100)`;
const select = `export const select = (db) => db('t').select('id');`;
const write = `db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: db.raw('n + 1') })`;
const plain = `${select} export const update = (db, rows) => ${write};`;

interface Fine {
  readonly what: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly prepare?: (project: Project) => void;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** DATABASE_URL, of the database's own URL. */
  readonly url?: (url: string) => string;
  /** Rows that are migrated; default: 100, each once. */
  readonly rows?: number;
  readonly prints?: RegExp;
  readonly check?: (outcome: Outcome) => void;
}

const cases: readonly Fine[] = [
  {
    what: 'TypeScript that needs transforms',
    files: {
      'a.ts': `enum By { One = 1 }
        class Step { constructor(readonly by: By) {} }
        namespace Texts { export const id = 'id'; }
        export const select = (db: any) => db('t').select(Texts.id as string);
        export const update = (db: any, rows: { id: number }[]) =>
          db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: new Step(By.One).by satisfies number });`,
    },
  },
  {
    what: 'an update with one argument',
    files: { 'a.ts': `${select} export const update = (db) => db('t').increment('n');` },
  },
  { what: 'a select without the key', files: { 'a.ts': plain.replace(`select('id')`, `select('n', 'id')`) } },
  {
    what: 'a folder with other files in it',
    files: {
      'a.ts': plain,
      'README.md': '#',
      'a.d.ts': 'x',
      'a.js.map': '{}',
      '.b.ts': 'throw 1',
      'a.test.ts': 'throw 1',
    },
  },
  {
    what: 'an empty folder',
    files: { 'README.md': '#' },
    rows: 0,
    prints: /^no migrations found in .*migrations$/m,
  },
  {
    what: 'nothing to roll back',
    files: { 'a.ts': plain },
    args: ['down'],
    rows: 0,
    prints: /^nothing to roll back$/m,
  },
  {
    what: 'a name of 199 letters, beyond those of ASCII',
    files: { [`${'ä'.repeat(60)}${'x'.repeat(100)}.ts`]: plain },
  },
  {
    what: 'a folder that is a link, and a cache folder that cannot be made',
    files: { 'a.ts': plain },
    prepare: ({ dir }) => {
      renameSync(path.join(dir, 'migrations'), path.join(dir, 'real'));
      symlinkSync('real', path.join(dir, 'migrations'));
      writeFileSync(path.join(dir, 'file'), '');
    },
    env: { XDG_CACHE_HOME: '/dev/null/x', HOME: '/dev/null' },
  },
  { what: 'DATABASE_URL with a line break at its end', files: { 'a.ts': plain }, url: (url) => `${url}\n` },
  {
    what: 'a password in a file of PGPASSFILE, of which the driver says that it will not always be read',
    files: { 'a.ts': plain },
    prepare: ({ dir }) => {
      const { password } = new URL(inject('serverUrl'));
      writeFileSync(path.join(dir, 'passwords'), `*:*:*:*:${password}\n`, { mode: 0o600 });
    },
    url: (url) => Object.assign(new URL(url), { password: '' }).href,
    env: { PGPASSFILE: './passwords' },
    check: ({ stderr }) => expect(stderr).not.toContain('Deprecat'),
  },
  {
    what: 'a name that is given twice, which is run once',
    files: { 'a.ts': plain },
    args: ['up', '--name', 'a', '--name', 'a', '--rerun', 'ALLOW'],
    check: ({ stdout }) => expect(stdout).toMatch(/^a: 100 rows .*\n$/),
  },
  {
    what: '--json before the command',
    files: { 'a.ts': plain },
    args: ['--json', 'up'],
    check: ({ stdout }) =>
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ name: 'a', rows: 100 }] }),
  },
  {
    what: '--json in GitHub Actions, which reads its commands on stderr',
    files: { 'a.ts': plain },
    args: ['up', '--json'],
    env: { GITHUB_ACTIONS: 'true' },
    check: ({ stdout, stderr }) => {
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ name: 'a' }] });
      expect(stderr).toMatch(/^::group::a: up$[^]*^::endgroup::$/m);
    },
  },
  {
    what: '--json in CI with a log of JSON',
    files: { 'a.ts': plain },
    args: ['up', '--json', '--log-format', 'json'],
    env: { CI: '1' },
    check: ({ stdout, stderr }) => {
      expect(JSON.parse(stdout)).toMatchObject({ migrations: [{ name: 'a' }] });
      expect(recordsIn(stderr).length).toBeGreaterThan(1);
    },
  },
  {
    what: 'a knexfile that is a function, beside DATABASE_URL, which wins',
    files: { 'a.ts': plain },
    prepare: ({ dir }) =>
      writeFileSync(
        path.join(dir, 'knexfile.ts'),
        `export default async () => ({ development: { client: 'pg', connection: 'postgres://u@nowhere.invalid/d' } });`,
      ),
  },
  {
    what: 'a knexfile of CommonJS with a default and a folder of its own',
    prepare: ({ dir }) => {
      mkdirSync(path.join(dir, 'sub'));
      writeFileSync(path.join(dir, 'sub', 'a.js'), plain);
      writeFileSync(
        path.join(dir, 'knexfile.js'),
        `exports.default = { client: 'pg', migrations: { directory: './sub' } };`,
      );
    },
  },
];

describe('what may look wrong and is fine:', () => {
  it.each(cases)(
    '$what',
    async ({ files = {}, prepare, args = ['up'], env, url = (same) => same, rows = 100, prints, check }) => {
      await withDatabase(async (database: TestDatabase) => {
        await database.client.query(table);
        const project = makeProject(files);
        prepare?.(project);
        const outcome = await run([...args, '--workers', '1'], {
          cwd: project.dir,
          url: url(database.url),
          ...(env === undefined ? {} : { env }),
        });
        expect(outcome.code, outcome.stderr).toBe(0);
        if (prints !== undefined) expect(outcome.stdout).toMatch(prints);
        check?.(outcome);
        const found = await database.client.query('select sum(n)::int as done, max(n) as most from t');
        expect(found.rows).toEqual([{ done: rows, most: Math.min(rows, 1) }]);
        if (rows > 0) return;
        const ledger = await database.client.query(`select to_regnamespace('umzug_cluster') is null as none`);
        expect(ledger.rows).toEqual([{ none: true }]);
      });
    },
  );
});
