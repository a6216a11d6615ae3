import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { canEnter } from '../../src/postgres/embedded/account.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type Project, makeProject } from '../support/project.ts';

const cli = path.join(import.meta.dirname, '../../dist/cli.js');
// Root may read everything, so as root the command runs as another user.
const nobody = process.getuid?.() === 0 ? { name: 'nobody', uid: 65_534, gid: 65_534 } : null;
const user = nobody === null ? null : { uid: nobody.uid, gid: nobody.gid };
const canRun = [cli, process.execPath].every((file) => canEnter(nobody, path.dirname(file)));

const migration = `import { one } from '../lib/one';
  export const up = (db) => db.raw('select ?::int', [one]);`;

function project(): Project {
  const made = makeProject({ 'a.ts': migration });
  mkdirSync(path.join(made.dir, 'lib'));
  writeFileSync(path.join(made.dir, 'lib/one.ts'), 'export const one = 1;');
  writeFileSync(path.join(made.dir, 'knexfile.ts'), `export default { client: 'pg' };`);
  // other users may look, but not write
  for (const folder of ['', 'migrations', 'lib']) chmodSync(path.join(made.dir, folder), 0o755);
  return made;
}

describe.runIf(canRun)('what the user may not read or write is said, with what to do:', () => {
  const readIt = 'hint: let the user who runs this read it';

  it.each<[what: string, place: string, args: string, says: readonly string[]]>([
    ['a migration', 'migrations/a.ts', 'up', ['cannot read a.ts', readIt]],
    ['the folder of the migrations', 'migrations', 'status', ['cannot read the migrations folder', readIt]],
    ['an import', 'lib/one.ts', 'up', ['a.ts: cannot read ../lib/one.ts', readIt]],
    ['the folder of an import', 'lib', 'up', [`a.ts: cannot find module '../lib/one'`, 'its folder']],
    ['the knexfile', 'knexfile.ts', 'up', ['cannot read knexfile.ts', readIt]],
    [
      'a new file',
      '',
      'create --name x --prefix TIMESTAMP --migrations new',
      ['cannot write', 'user who runs this write it'],
    ],
  ])('%s', async (_what, place, args, says) => {
    await withDatabase(async ({ url }) => {
      const { dir } = project();
      const closed = path.join(dir, place);
      chmodSync(closed, place === '' ? 0o555 : 0o000);
      const { code, stdout, stderr } = await run(args.split(' '), { cwd: dir, url, user });
      chmodSync(closed, 0o755);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' });
      for (const said of says) expect(stderr).toContain(said);
      expect(stderr.match(/^error: /gm)).toHaveLength(1);
    });
  });

  it('a project in which there is to be an embedded server', async () => {
    const { dir } = project();
    chmodSync(dir, 0o555);
    const { code, stdout, stderr } = await run(['up', '--embedded'], { cwd: dir, url: null, user });
    chmodSync(dir, 0o755);
    expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(
      /^error: cannot make a folder for the embedded Postgres\n.*\n {2}hint: set DATABASE_URL/,
    );
  });
});

describe('an event trigger that lets nobody create a table', () => {
  it.each(['P0001', '23514'])('is told as a rule of the database, not as a bug: %s', async (sqlstate) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`create table t (id int primary key, n int);
        create function no_ddl() returns event_trigger language plpgsql as
          $$ begin raise exception 'no DDL on Mondays' using errcode = '${sqlstate}'; end $$;
        create event trigger no_ddl on ddl_command_start execute function no_ddl()`);
      const source = `
        export const select = (db) => db('t').select('id');
        export const update = (db) => db('t').update({ n: 1 });`;
      const { code, stderr } = await run(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
      expect(stderr).toMatch(
        new RegExp(
          `error: a: a function of the database refuses this: no DDL on Mondays\\n.*${sqlstate}.*\\n {2}hint: `,
        ),
      );
      expect(code).toBe(2);
    });
  });
});

describe('a process that may open few files', () => {
  it.each([30, 40])('says so, and what to do, also where it cannot load its own: %i', (files) => {
    const limited = ['-c', 'ulimit -n "$0" && exec "$@"', String(files), process.execPath, cli, 'status'];
    const url = 'postgres://nobody@127.0.0.1:1/none';
    const env = { ...process.env, DATABASE_URL: url, UMZUG_CLUSTER_LOG_FORMAT: 'pretty' };
    const { status, stderr } = spawnSync('/bin/sh', limited, { cwd: project().dir, env, encoding: 'utf8' });
    expect(stderr).toMatch(
      /^error: too many open files.*\n {2}hint: raise the limit, such as with ulimit -n 1024/,
    );
    expect(status).toBe(2);
  });
});
