import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openControl } from '../../src/cluster/worker/control.ts';
import { loadConfig } from '../../src/config/config.ts';
import { findLedger } from '../../src/ledger/ledger.ts';
import { mostPoints } from '../../src/ledger/look/points.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { killGroup, start, until } from '../support/cli.ts';
import { runInProcess } from '../support/in-process.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { resetSmallTables, smallTables } from '../support/small-run.ts';
import { startUi } from '../support/ui.ts';

const xss = '<img src=x onerror=alert(1)>';

// Two rows fail as long as the table `fine` is missing.
const failing = `
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows) => {
    const { rows: [{ fine }] } = await db.raw("select to_regclass('public.fine') is not null as fine");
    if (!fine && rows.some(({ id }) => id === 7 || id === 9)) throw new Error('no ${xss}');
    await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });
  };`;

interface Place extends TestDatabase {
  readonly dir: string;
  readonly env: { readonly DATABASE_URL: string };
  up(): Promise<number | null>;
}

/** A project with a run that has failed with two quarantined rows. */
async function withQuarantine(work: (place: Place) => Promise<void>): Promise<void> {
  await withDatabase(async (db) => {
    await db.client.query(smallTables);
    await db.client.query(resetSmallTables);
    const { dir } = makeProject({ 'm.mjs': failing });
    const env = { DATABASE_URL: db.url };
    const up = async (): Promise<number | null> =>
      (await runInProcess(['up', '--workers', '1', '--chunk-size', '5'], dir, env)).code;
    expect(await up()).toBe(1);
    await work({ ...db, dir, env, up });
  });
}

describe('an action on the page', () => {
  it('does what the command does, and is recorded with the user that the proxy names', async () => {
    await withQuarantine(async ({ dir, env }) => {
      const ui = await startUi(dir, env, ['--user-header', 'x-forwarded-user']);
      const anna = { 'x-forwarded-user': 'anna' };
      const asked = [
        [{ action: 'set', values: ['pace=2000'] }, /^m: .*pace 2,000/],
        [{ action: 'cancel' }, /^m is cancelled/],
        [{ action: 'resume' }, /^m is resumed/],
        [{ action: 'pause' }, /^m is paused/],
        [{ action: 'pause' }, /^m was already paused/],
        [{ action: 'resume' }, /^m is resumed/],
      ] as const;
      for (const [action, message] of asked) {
        expect(await ui.act({ ...action, migration: 'm' }, anna)).toEqual({
          ok: true,
          message: expect.stringMatching(message) as string,
        });
      }
      const { history, settings } = await ui.run('m');
      expect(settings).toEqual({ pace: 2000 });
      expect(history.slice(0, 5).map(({ event, by }) => [event, by.split(' on ')[0]])).toEqual(
        ['resumed', 'paused', 'resumed', 'cancelled', 'changed'].map((event) => [event, 'anna,']),
      );
      expect(await ui.act({ action: 'pause', migration: 'none' })).toMatchObject({
        error: expect.stringContaining('none') as string,
      });
      expect(await ui.act({ action: 'explode', migration: 'm' })).toMatchObject({
        error: 'an action is one of pause, resume, cancel, set, retry, with a migration',
      });
    });
  });

  it('puts one quarantined row back, or all, for hosts that have the file to process', async () => {
    await withQuarantine(async ({ dir, env, client, up }) => {
      const ui = await startUi(dir, env);
      const { quarantine, ranges } = await ui.run('m');
      expect(quarantine.map(({ key, attempts }) => [key, attempts > 0])).toEqual([
        [['7'], true],
        [['9'], true],
      ]);
      expect(ranges.filter(({ state }) => state === 'quarantined')).toHaveLength(2);
      await client.query('create table fine ()');
      const again = { action: 'retry', migration: 'm' };
      expect(await ui.act({ ...again, key: ['7'] })).toMatchObject({ ok: true });
      expect((await ui.run('m')).quarantine.map(({ key }) => key)).toEqual([['9']]);
      expect(await ui.act(again)).toMatchObject({ ok: true });
      expect(await ui.act(again)).toEqual({ ok: true, message: 'no such row of m is quarantined any more' });
      expect(await up()).toBe(0);
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
    });
  });

  it('lets retry process rows that were put back there with a file that was fixed for them', async () => {
    await withQuarantine(async ({ dir, env, client, up }) => {
      const ui = await startUi(dir, env);
      expect(await ui.act({ action: 'retry', migration: 'm' })).toMatchObject({ ok: true });
      writeFileSync(path.join(dir, 'migrations', 'm.mjs'), failing.replace('id === 7 || id === 9', 'false'));
      expect(await up()).toBe(3);
      expect((await start(['retry', 'm'], { cwd: dir, url: env.DATABASE_URL }).outcome).code).toBe(0);
      expect((await client.query('select distinct n from t')).rows).toEqual([{ n: 1 }]);
    });
  });

  it('is refused to other pages, and to all where it is read-only', async () => {
    await withQuarantine(async ({ dir, env }) => {
      const pause = { action: 'pause', migration: 'm' };
      const ui = await startUi(dir, env);
      const others = [
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
        { origin: 'http://attacker.example' },
        { 'x-umzug-cluster': '' },
        { 'content-type': 'text/plain' },
      ];
      for (const headers of others) expect((await ui.post('api/actions', pause, headers)).status).toBe(403);
      for (const authorization of ['', 'Bearer none']) {
        const refused = await ui.post('api/actions', pause, { authorization });
        expect(refused.status).toBe(401);
        expect(await refused.text()).toContain('open the page by the whole URL');
      }
      const readOnly = await startUi(dir, { ...env, UMZUG_CLUSTER_READ_ONLY: 'true' });
      expect((await readOnly.overview()).canWrite).toBe(false);
      expect((await readOnly.post('api/actions', pause)).status).toBe(403);
      const [row] = (await ui.overview()).migrations;
      expect(row?.state).toBe('failed');
    });
  });
});

describe('what is shown of a run', () => {
  it('is kept in points: at most so many, from its beginning to its end, over restarts, until it is pruned', async () => {
    await withQuarantine(async ({ dir, env, client }) => {
      const config = await loadConfig({ flags: {}, cwd: dir, env });
      const control = openControl(config);
      const { rows } = await client.query<{ id: string }>('select id from umzug_cluster.runs');
      const id = rows[0]?.id ?? '';
      await client.query('delete from umzug_cluster.points');
      // A point a second for as long as they fit, by two processes one after the other.
      await client.query(
        `insert into umzug_cluster.points (run_id, process, at, rows, chunk_size, lanes)
         select $1, case when no < 1000 then 'a' else 'b' end, clock_timestamp() - (${mostPoints} - no) * interval '1 s', no, 1, 1
         from generate_series(1, ${mostPoints}) as no`,
        [id],
      );
      const mark = { rowsDone: 5_000, rowsPerSecond: 1, chunkMs: 2, chunkSize: 3, lanes: 4, held: null };
      const kept = await control.use(async (session) => {
        const points = (await findLedger(session, 'umzug_cluster'))?.points;
        await points?.add(id, 'c', mark);
        await points?.add(id, 'c', mark);
        return (await points?.list(id)) ?? [];
      });
      await control.close();
      // Half of those before, and the first of two that follow each other too closely.
      expect(kept).toHaveLength(mostPoints / 2 + 1);
      expect([kept[0]?.rowsDone, kept.at(-1)]).toEqual([1, expect.objectContaining(mark) as unknown]);
      expect(new Set(kept.map(({ process }) => process))).toEqual(new Set(['a', 'b', 'c']));
      const ui = await startUi(dir, env);
      expect((await ui.run('m')).points).toHaveLength(kept.length);
      await client.query(
        `update umzug_cluster.runs set state = 'reverted', finished_at = now() - interval '1 year'`,
      );
      expect((await runInProcess(['prune', '--older-than', '1h'], dir, env)).code).toBe(0);
      expect((await client.query('select from umzug_cluster.points')).rowCount).toBe(0);
    });
  });

  it('has points of every up that worked on it, and the ranges with who has stolen them', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'm.mjs': rowsMigration(0.1) });
      const processes = async (): Promise<readonly string[]> => {
        const { rows } = await client.query<{ process: string }>(
          'select distinct process from umzug_cluster.points where rows > 0',
        );
        return rows.map(({ process }) => process);
      };
      const hasPoints = (count: number): Promise<boolean> =>
        until(`${count} have told of it`, async () => (await processes().catch(() => [])).length === count);
      const first = start(['up', '--chunk-size', '500'], { cwd: dir, url });
      await hasPoints(1);
      killGroup(first.pid);
      const second = start(['up', '--chunk-size', '500'], { cwd: dir, url });
      await hasPoints(2);
      hurry(dir);
      expect((await second.outcome).code).toBe(0);
      await client.query(
        'insert into umzug_cluster.steals select run_id, min(no) from umzug_cluster.ranges group by 1 on conflict do nothing',
      );
      const ui = await startUi(dir, { DATABASE_URL: url });
      const { points, ranges, row } = await ui.run('m');
      expect(points.length).toBeGreaterThan(1);
      expect(points.map(([at]) => at)).toEqual(points.map(([at]) => at).toSorted((a, b) => a - b));
      expect(row).toMatchObject({ state: 'executed', rowsDone: counterRows });
      const stolen = await client.query('select from umzug_cluster.steals');
      expect(ranges.filter((range) => range.stolen)).toHaveLength(stolen.rowCount ?? 0);
      expect(ranges.every(({ state, done }) => state === 'done' && done === 1)).toBe(true);
    });
  });

  it('is a report in one file, in which no name and no message is HTML', async () => {
    await withQuarantine(async ({ dir, env, client }) => {
      await client.query(`update umzug_cluster.history set host = $1`, [xss]);
      await client.query(`update umzug_cluster.runs set name = $1, error = $1`, [xss]);
      await client.query(`update umzug_cluster.history set migration = $1`, [xss]);
      const ui = await startUi(dir, env);
      const answer = await ui.get(`api/runs/${encodeURIComponent(xss)}/report.html`);
      const text = await answer.text();
      expect(answer.headers.get('content-disposition')).toBe(
        'attachment; filename="-img-src-x-onerror-alert-1-.html"',
      );
      expect(text).not.toMatch(/<img|<script|https?:/);
      expect(text.split('&lt;img src=x onerror=alert(1)&gt;').length).toBeGreaterThan(5);
      expect(text).toMatch(/<h2>Quarantined rows<\/h2>[^]*<td>7<\/td>/);
      expect(text).toContain('aria-label="Ranges of the key space"');
    });
  });
});

describe('metrics', () => {
  it('are those of status, and of the dashboard in the docs, and say so when the database is gone', async () => {
    await withQuarantine(async ({ dir, env, client }) => {
      const ui = await startUi(dir, env);
      await client.query(`update umzug_cluster.runs set state = 'running'`);
      await client.query(
        `insert into umzug_cluster.hosts (run_id, process, workers, rows_per_second, eta_seconds, chunk_size)
         select id, 'h:1/x', 1, 100, 60, 5 from umzug_cluster.runs`,
      );
      await client.query(
        `insert into umzug_cluster.points (run_id, process, at, rows, chunk_ms, chunk_size, lanes)
         select id, 'h:1/x', clock_timestamp(), 28, 250, 5, 2 from umzug_cluster.runs`,
      );
      const text = await (await ui.get('metrics')).text();
      const names = new Set(text.match(/^umzug_cluster_\w+/gm));
      const status = JSON.parse((await runInProcess(['status', '--json'], dir, env)).stdout) as {
        migrations: [{ rows: { done: number; estimated: number }; fraction: number }];
      };
      const [{ rows, fraction }] = status.migrations;
      const valueOf = (name: string): number =>
        Number(new RegExp(`^umzug_cluster_${name}\\{.*\\} (.*)$`, 'm').exec(text)?.[1]);
      expect(['rows_done', 'rows_estimated', 'progress_ratio'].map(valueOf)).toEqual([
        rows.done,
        rows.estimated,
        fraction,
      ]);
      expect(
        ['rows_per_second', 'eta_seconds', 'quarantined_rows', 'lanes', 'chunk_seconds', 'up'].map(valueOf),
      ).toEqual([100, 60, 2, 2, 0.25, 1]);
      expect(text).toContain('migration="m",state="running"} 1');
      const dashboard = readFileSync(path.resolve(import.meta.dirname, '../../docs/grafana.json'), 'utf8');
      const used = new Set(dashboard.match(/umzug_cluster_\w+/g));
      expect([...used].filter((name) => !names.has(name))).toEqual([]);
      expect([...names].filter((name) => !used.has(name))).toEqual([]);
    });
  });
});

describe('a plan', () => {
  it('is written as one file, with rows before and after side by side, in which no value is HTML', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(
        `create table notes (id int primary key, body text); insert into notes values (1, '${xss}')`,
      );
      const { dir } = makeProject({
        'm.mjs': `
          export const select = (db) => db('notes').select('id');
          export const update = (db, rows) =>
            db('notes').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ body: '<b>new</b>' });`,
      });
      const { code } = await runInProcess(['plan', '--html', 'plan.html'], dir, { DATABASE_URL: url });
      expect(code).toBe(0);
      const text = readFileSync(path.join(dir, 'plan.html'), 'utf8');
      expect(text).not.toMatch(/<img|<b>|<script|https?:/);
      // The browser applies no other style than the one of this hash.
      const [, style = ''] = /<style>([^]*?)<\/style>/.exec(text) ?? [];
      expect(text).toContain(`sha256-${createHash('sha256').update(style).digest('base64')}`);
      expect(text).toMatch(
        /<td>body<\/td><td><span class="value">&lt;img src=x onerror=alert\(1\)&gt;<\/span><\/td><td><span class="value changed">&lt;b&gt;new&lt;\/b&gt;/,
      );
      expect(text).toMatch(/of WAL/);
      const refused = await runInProcess(['plan', '--html', 'none/plan.html'], dir, { DATABASE_URL: url });
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('cannot write the plan')]);
    });
  });
});
