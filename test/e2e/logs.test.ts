import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { type EventFields, logEvents } from '../../src/core/config/log-events.ts';
import type { Progress } from '../../src/core/progress/progress.ts';
import { type Place, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { type WrittenRecord, recordsIn, recordsOf } from '../support/log-records.ts';
import { makeProject } from '../support/project.ts';

const table = (rows: number): string => `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, ${rows});
  analyze t`;
const select = `export const select = (db) => db('t').select('id');`;
const write = (db: string): string =>
  `db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: ${db} })`;
const json = ['--log-format', 'json', '--log-level', 'debug', '--chunk-size', '10'];
const alone = [...json, '--workers', '1'];

/** Runs a command that logs JSON: the records that it wrote, each checked. */
async function records(args: readonly string[], place: Place, code = 0): Promise<readonly WrittenRecord[]> {
  const outcome = await run(args, place);
  expect(outcome.code, outcome.stderr).toBe(code);
  return recordsIn(outcome.stderr);
}

function eventsOf(written: readonly WrittenRecord[]): ReadonlySet<string> {
  return new Set(written.map(({ event }) => event));
}

describe('the records of --log-format json', () => {
  it('tell a run up and down, and what its author says, whatever that is', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table(40));
      const said = `{ level: 'x', event: 'y', time: 1, msg: 'z', pid: 0, f: () => 1, n: 5n, password: 'p',
        buffer: Buffer.alloc(3), get bad() { throw new Error('no'); } }`;
      const source = `${select}
        export const update = async (db, rows, { logger }) => {
          const round = {}; round.round = round;
          for (const fields of [{ a: 1 }, ${said}, round, 'only words', null, undefined, [1]]) logger.warn(fields);
          logger.info({ cause: new Error('x') }, 'with\\nwords');
          await ${write('1')};
        };
        export const down = { select, update: (db, rows) => ${write('0')} };`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const up = await records(['up', ...alone], place);
      expect([...eventsOf(up)]).toEqual(
        expect.arrayContaining(['migration.started', 'run.progress', 'chunk.done', 'migration.done']),
      );
      expect(recordsOf(up, 'migration.done')).toMatchObject([{ migration: 'a', rows: 40, direction: 'up' }]);
      const spoken = recordsOf(up, 'update.logged');
      expect(spoken[0]).toMatchObject({ level: 'warn', migration: 'a', attempt: 1, data: { a: 1 } });
      expect(spoken[1]?.data).toMatchObject({ event: 'y', n: '5', password: '***', buffer: '3 bytes' });
      expect(spoken[1]?.data).toMatchObject({ bad: expect.stringContaining('cannot be read') as string });
      expect(spoken.map(({ msg }) => msg)).toEqual(
        expect.arrayContaining([undefined, 'only words', 'with\nwords']),
      );
      await records(['down', ...alone], place);
      await records(['down', ...alone], place);
    });
  });

  it('tell what is tried again, each bad row once and by its key, and how the command ends', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${table(40)};
        create sequence tries;
        create function trip() returns trigger language plpgsql as $$ begin
          if nextval('tries') = 1 then raise exception 'twice' using errcode = '40001'; end if;
          if new.id = 7 then raise exception 'no seven' using errcode = '22000'; end if;
          return new;
        end $$;
        create trigger trip before update on t for each row execute function trip()`);
      const source = `${select}\nexport const update = (db, rows) => ${write('1')};`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const env = { UMZUG_CLUSTER_LANES: '1' };
      const failed = await records(['up', ...alone], { ...place, env }, 1);
      expect(recordsOf(failed, 'row.quarantined')).toMatchObject([
        {
          migration: 'a',
          key: ['7'],
          msg: expect.stringMatching(/^a: row 7 is quarantined: .*no seven$/) as string,
        },
      ]);
      const warned = failed.filter(({ level }) => level === 'warn').map(({ event }) => event);
      expect(warned, 'the search for the row is not logged').toEqual(['chunk.retry', 'row.quarantined']);
      expect(recordsOf(failed, 'chunk.retry')).toMatchObject([
        { migration: 'a', error: expect.stringMatching(/twice$/) as string },
      ]);
      expect(failed.at(-1)).toMatchObject({ event: 'command.failed', code: 'MIGRATION_FAILED', exitCode: 1 });
      const [wrong] = await records(['up', '--nope', ...alone], place, 2);
      expect(wrong).toMatchObject({
        event: 'command.failed',
        code: 'USAGE',
        hint: expect.any(String) as string,
      });
    });
  });

  it('tell what is waited for, a file that is gone, and a stop', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table(2_000));
      const slow = `${select}
        export const update = async (db, rows) => { await db.raw('select pg_sleep(0.2)'); await ${write('1')}; };`;
      const project = makeProject({ 'a.ts': 'export const up = () => undefined;', 'b.ts': slow });
      const place = { cwd: project.dir, url };
      const older = new pg.Client({ connectionString: url });
      await older.connect();
      await older.query('begin; create table x ()');
      const running = start(['up', ...json, '--workers', '2'], place);
      await running.says(/"event":"run.waiting"/);
      await older.query('commit');
      await older.end();
      await until('rows are done', () => rowsDone(client));
      await running.says(/"event":"worker.forked"/);
      process.kill(running.pid, 'SIGTERM');
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(143);
      const stopped = recordsIn(stderr);
      expect(recordsOf(stopped, 'run.stopping')).toMatchObject([{ code: 'TERMINATED' }]);
      expect(stopped.at(-1)).toMatchObject({ event: 'command.failed', code: 'TERMINATED', exitCode: 143 });

      rmSync(path.join(project.dir, 'migrations', 'a.ts'));
      const warned = await records(['up', ...json, '--max-time', '1ms'], place, 5);
      expect(recordsOf(warned, 'migration.missing')).toMatchObject([{ missing: ['a'] }]);
    });
  });

  it('are what Node and packages warn of, too, here and in workers', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table(400));
      const source = `import cluster from 'node:cluster';
        import { existsSync, writeFileSync } from 'node:fs';
        ${select}
        export const update = async (db, rows) => {
          process.emitWarning(cluster.isWorker ? 'by a worker' : 'by the command', 'MadeUp');
          if (cluster.isWorker) writeFileSync('warned', '');
          if (!existsSync('warned')) await db.raw('select pg_sleep(0.5)');
          await ${write('1')};
        };`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const written = await records(['up', ...json, '--workers', '2'], place);
      const warned = recordsOf(written, 'node.warned');
      expect(new Set(warned.map(({ name, msg }) => `${name} ${msg}`))).toEqual(
        new Set(['MadeUp by the command', 'MadeUp by a worker']),
      );
    });
  });

  it('end with the reason, in JSON on stdout too, where code blocks the process until it is killed', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table(10));
      const source = `import { execSync } from 'node:child_process';
        ${select}
        export const update = () => execSync('exec sleep 20', { stdio: 'ignore' });`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const env = { UMZUG_CLUSTER_CEILING_MS: '500' };
      const { child, outcome } = start(['up', '--json', ...alone], { ...place, env });
      const { stdout, stderr } = await outcome;
      expect(child.signalCode).toBe('SIGKILL');
      const said = {
        code: 'MIGRATION_FAILED',
        hint: expect.stringMatching(/^look for an endless loop/) as string,
      };
      expect(recordsIn(stderr).at(-1)).toMatchObject({ event: 'command.failed', exitCode: 137, ...said });
      const message = 'a: update blocked the event loop for more than 0.5 s, the time a chunk may take';
      expect(JSON.parse(stdout)).toMatchObject({ error: { ...said, message } });
    });
  });

  it('of several workers arrive whole and in order, also large ones, and when a worker dies', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${table(3_000)}; create sequence deaths`);
      const source = `import cluster from 'node:cluster';
        ${select}
        let n = 0;
        export const update = async (db, rows, { logger }) => {
          const no = (n += 1);
          logger.info({ from: process.pid, n, text: 'x'.repeat(100_000) }, 'said');
          await db.raw('select pg_sleep(0.1)');
          // its own number: other lanes have gone on meanwhile
          if (cluster.isWorker && no >= 3) {
            const { rows: [death] } = await db.raw("select nextval('deaths')::int as n");
            if (death.n === 1) process.kill(process.pid, 'SIGKILL');
          }
          await ${write('1')};
        };`;
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const written = await records(['up', ...json, '--workers', '3'], place);
      expect(recordsOf(written, 'worker.died')).toMatchObject([{ code: null, signal: 'SIGKILL' }]);
      const said = new Map<number, number[]>();
      for (const { data, level, msg } of recordsOf(written, 'update.logged')) {
        const { from, n, text } = data as { from: number; n: number; text: string };
        expect({ level, msg, length: text.length }).toEqual({ level: 'info', msg: 'said', length: 100_000 });
        said.set(from, [...(said.get(from) ?? []), n]);
      }
      expect(said.size).toBeGreaterThanOrEqual(3);
      for (const numbers of said.values()) expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    });
  });
});

describe('the table of events', () => {
  const folder = path.join(import.meta.dirname, '../../src');
  const code = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && file !== path.join('core', 'log-events.ts'))
    .map((file) => readFileSync(path.join(folder, file), 'utf8'))
    .join('\n');

  it('holds no event that is never logged', () => {
    expect(Object.keys(logEvents).filter((event) => !code.includes(`'${event}'`))).toEqual([]);
  });

  it('says of run.progress what progress is', () => {
    expectTypeOf<keyof Progress>().toEqualTypeOf<keyof EventFields<'run.progress'>>();
    expectTypeOf<Progress>().toExtend<EventFields<'run.progress'>>();
  });
});
