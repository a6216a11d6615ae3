import { expect, it } from 'vitest';
import type { HistoryReport } from '../../src/migrator/migrator.ts';
import { waitingSessions } from '../support/audit.ts';
import { run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const table =
  'create table t (id int primary key, n int not null default 0); insert into t values (1), (7), (9)';
const source = (bad: number): string => `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) => {
    if (rows.some(({ id }) => id === ${bad})) throw new Error('seven is bad');
    return db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });
  };
  export const down = { select, update: (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 0 }) };`;

type Events = HistoryReport['events'];

it('tells who did what to a migration, every attempt and error, the latest first', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const { dir, write } = makeProject({
      'a.ts': source(7),
      'b.ts': 'export const up = (db) => db.raw("nonsense");',
    });
    const place = { cwd: dir, url };
    const line = async (...args: readonly string[]): Promise<number | null> => (await run(args, place)).code;
    const events = async (...args: readonly string[]): Promise<Events> =>
      (JSON.parse((await run(['history', ...args, '--json'], place)).stdout) as HistoryReport).events;

    expect((await run(['history'], place)).stdout).toBe('nothing has happened yet\n');
    expect((await client.query(`select to_regnamespace('umzug_cluster') as there`)).rows).toEqual([
      { there: null },
    ]);

    const commit = '0f4c2b9d8e7a6f5b4c3d2e1f0a9b8c7d6e5f4a3b';
    const failed = await start(['up', '--name', 'a', '--workers', '1'], {
      ...place,
      env: { GITHUB_SHA: commit },
    }).outcome;
    expect(failed.code, failed.stderr).toBe(1);
    expect(await line('set', 'a', 'chunkSize=2', 'pace=off')).toBe(0);
    write('a.ts', source(8));
    expect(await line('retry', 'a', '--workers', '1')).toBe(0);
    expect(await line('up', '--name', 'b')).toBe(1);
    expect(await line('down', '--name', 'a', '--yes')).toBe(0);
    expect(await line('baseline', '--name', 'a')).toBe(0);
    expect(await line('baseline', '--undo', '--name', 'a')).toBe(0);

    const found = await events('a');
    expect(found.map(({ event, direction, attempt, detail }) => [event, direction, attempt, detail])).toEqual(
      [
        ['unbaselined', null, null, {}],
        ['baselined', null, null, {}],
        ['reverted', 'down', 1, {}],
        ['started', 'down', 1, {}],
        ['finished', 'up', 2, {}],
        ['resumed', 'up', 2, {}],
        ['retried', 'up', 1, { rows: 1 }],
        ['changed', 'up', 1, { settings: { chunkSize: 2, pace: null } }],
        ['failed', 'up', 1, { error: '1 row is quarantined' }],
        [
          'quarantined',
          'up',
          1,
          { key: ['7'], error: 'seven is bad', sqlstate: null, attempts: expect.any(Number) as number },
        ],
        ['started', 'up', 1, {}],
      ],
    );
    const first = found.at(-1);
    expect(first).toMatchObject({ gitCommit: commit, version: expect.stringMatching(/^\d/) as string });
    expect(first?.fileSha256).not.toBe(found.find(({ event }) => event === 'finished')?.fileSha256);
    const [schema, ...none] = await events('b');
    expect([schema?.event, none]).toEqual(['failed', []]);
    expect(schema?.detail['error']).toMatch(/^b, up: nonsense - syntax error/);

    const text = (await run(['history', '--limit', '2'], place)).stdout.split('\n');
    expect(text[0]).toMatch(/^at +migration +event +by +version +file +commit$/);
    expect(text[1]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +a +unbaselined +\S+:\d+ +\d/);
    expect(text).toHaveLength(4);
    expect(await run(['history', 'c'], place)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no known migration is named "c"') as string,
    });
  });
});

it('tells when a process has left a run, and which one goes on with it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const gate = `select pg_advisory_xact_lock_shared(1)`;
    await client.query('select pg_advisory_lock(1)');
    const { dir } = makeProject({
      'a.ts': source(8)
        .replace('return db', `return db.raw('${gate}').then(() => db`)
        .replace('{ n: 1 });', '{ n: 1 }));'),
    });
    const first = start(['up', '--workers', '1', '--chunk-size', '1'], { cwd: dir, url });
    await until('its chunk waits', async () => (await waitingSessions(client)) > 0);
    first.child.kill('SIGTERM');
    await first.says(/stopping: /);
    await client.query('select pg_advisory_unlock(1)');
    expect((await first.outcome).code).toBe(143);
    expect((await run(['up', '--workers', '1'], { cwd: dir, url })).code).toBe(0);
    const { rows } = await client.query(
      `select event, pid = ${first.pid} as is_first, detail ->> 'code' as code from umzug_cluster.history order by id`,
    );
    expect(rows).toEqual([
      { event: 'started', is_first: true, code: null },
      { event: 'stopped', is_first: true, code: 'TERMINATED' },
      { event: 'resumed', is_first: false, code: null },
      { event: 'finished', is_first: false, code: null },
    ]);
  });
});

it('prune removes what was rolled back long enough ago, and never what down needs', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const { dir } = makeProject({ 'a.ts': source(8), 'b.ts': source(8) });
    const place = { cwd: dir, url };
    const ended = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(args, place);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    expect(await ended('prune', '--older-than', '90d')).toBe('nothing to remove\n');
    await ended('up', '--workers', '1');
    await ended('down', '--yes');
    expect(await ended('prune', '--older-than', '90d')).toBe('nothing to remove\n');
    expect(JSON.parse(await ended('prune', '--older-than', '0', '--json'))).toEqual({
      runs: 2,
      ranges: 2,
      quarantined: 0,
      events: 4,
    });
    const { rows } = await client.query('select event, migration from umzug_cluster.history order by id');
    expect(rows).toEqual([
      { event: 'started', migration: 'a' },
      { event: 'finished', migration: 'a' },
      { event: 'pruned', migration: null },
    ]);
    expect((await client.query('select name from umzug_cluster.runs')).rows).toEqual([{ name: 'a' }]);
    await ended('down', '--yes');
    expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 0 }]);
    const refused = await run(['prune', '--older-than', '90'], place);
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('must be a duration such as 90d') as string,
    });
  });
});
