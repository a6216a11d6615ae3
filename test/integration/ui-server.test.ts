import { rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openControl } from '../../src/cluster/worker/control.ts';
import { loadConfig } from '../../src/config/config.ts';
import { Feed } from '../../src/ui/api/feed.ts';
import { lookAt } from '../../src/ui/api/reading.ts';
import { start, until } from '../support/cli.ts';
import { connect, onServer, withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { makeProject } from '../support/project.ts';
import { smallMigration, resetSmallTables, smallTables, migrateHere } from '../support/small-run.ts';
import { readEvents, startUi } from '../support/ui.ts';

const token = 'a token of 24 characters';
const files = { 'first.mjs': smallMigration, 'second.mjs': smallMigration };

/** A project whose first migration has run. */
async function withProject(work: (dir: string, url: string) => Promise<void>): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(smallTables);
    await client.query(resetSmallTables);
    const { dir, write } = makeProject({ 'first.mjs': smallMigration });
    await migrateHere(dir, url);
    write('second.mjs', files['second.mjs']);
    await work(dir, url);
  });
}

async function onTheSide(url: string, sql: string): Promise<void> {
  const client = await connect(url);
  await client.query(sql);
  await client.end();
}

/** The status of an answer to a request with this header, which fetch would set by itself. */
async function statusWithHost(url: string, host: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const sent = request(url, { headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('ui', () => {
  it('prints its URL as one line, shows what status says, and a signal ends it with exit code 0', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url });
      expect(ui.stdout()).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{24}\n$/);
      const status = await runInProcess(['status', '--json'], dir, { DATABASE_URL: url });
      const told = JSON.parse(status.stdout) as { migrations: Record<string, unknown>[] };
      const { migrations, canWrite } = await ui.overview();
      expect(canWrite).toBe(true);
      expect(migrations.map(({ name, state }) => [name, state])).toEqual([
        ['first', 'executed'],
        ['second', 'pending'],
      ]);
      for (const [index, row] of migrations.entries()) {
        const { rows, startedAt, finishedAt, executedAt, ...same } = told.migrations[index] as never as {
          rows: { done: number; estimated: number | null; quarantined: number };
          startedAt: string | null;
          finishedAt: string | null;
          executedAt: string | null;
        };
        const ms = (time: string | null): number | null => (time === null ? null : Date.parse(time));
        expect({ ...same, ...row }).toEqual({ ...row, ...same });
        expect([row.rowsDone, row.rowsEstimated, row.quarantined]).toEqual([
          rows.done,
          rows.estimated,
          rows.quarantined,
        ]);
        expect([row.startedAt, row.finishedAt, row.executedAt]).toEqual(
          [startedAt, finishedAt, executedAt].map(ms),
        );
      }
      expect(await ui.stop()).toBe(0);
    });
  });

  it('shows a run by its id and by its name: its ranges, history and key', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url });
      const run = await ui.run('first');
      expect(await ui.run(run.row.runId ?? '')).toMatchObject({ row: run.row });
      expect(run).toMatchObject({ table: 'public.t', key: ['id'], row: { rowsDone: 30, fraction: 1 } });
      expect(run.ranges.map(({ state, done }) => [state, done])).toEqual(run.ranges.map(() => ['done', 1]));
      expect(run.history.map(({ event }) => event)).toEqual(['finished', 'started']);
      expect((await ui.get('api/runs/none')).status).toBe(404);
    });
  });

  it('says with every answer that nothing is loaded from elsewhere', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url });
      for (const place of ['.', 'api/overview', 'none']) {
        const { headers } = await ui.get(place);
        expect(headers.get('content-security-policy'), place).toBe(
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
        expect(headers.get('x-content-type-options')).toBe('nosniff');
        expect(headers.get('referrer-policy')).toBe('no-referrer');
      }
    });
  });

  it('answers only requests that name this host, unless it has a token', async () => {
    await withProject(async (dir, url) => {
      const open = await startUi(dir, { DATABASE_URL: url });
      expect(await statusWithHost(`${open.url}api/overview`, 'attacker.example')).toBe(403);
      expect(await statusWithHost(`${open.url}api/overview`, 'localhost:1')).toBe(200);
      const closed = await startUi(dir, { DATABASE_URL: url, UMZUG_CLUSTER_TOKEN: token });
      expect(await statusWithHost(`${closed.url}api/overview`, 'admin.example')).toBe(401);
    });
  });

  it('is found behind a path prefix, and nowhere else', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url, UMZUG_CLUSTER_BASE_PATH: '/ops/backfills' });
      expect(ui.url).toMatch(/\/ops\/backfills\/$/);
      expect((await ui.overview()).migrations).toHaveLength(2);
      expect((await ui.get('/api/overview')).status).toBe(404);
      const bare = await ui.get('/ops/backfills');
      expect([bare.status, bare.headers.get('location')]).toEqual([302, '/ops/backfills/']);
    });
  });

  it('refuses a place that others can reach without a token, and what is no place', async () => {
    const { dir } = makeProject({});
    const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
    const refusals = [
      [['--listen', '0.0.0.0:4949'], '--listen 0.0.0.0:4949 needs --token'],
      [['--listen', '4949'], '--listen must be HOST:PORT: got "4949"'],
      [['--token', 'short'], '--token must have at least 16 characters'],
      [['--base-path', 'x/'], '--base-path must be a path such as /backfills: got "x/"'],
    ] as const;
    for (const [args, message] of refusals) {
      const { code, stdout, stderr } = await runInProcess(['ui', ...args], dir, env);
      expect([code, stdout], message).toEqual([2, '']);
      expect(stderr).toContain(message);
      expect(stderr).not.toContain('"short"');
    }
  });
});

it('ui shows what the ledger knows also on a host that has no folder of migrations', async () => {
  await withProject(async (dir, url) => {
    rmSync(path.join(dir, 'migrations'), { recursive: true });
    await onTheSide(url, `update umzug_cluster.folders set folder = 'elsewhere/migrations'`);
    const ui = await startUi(dir, { DATABASE_URL: url });
    expect((await ui.overview()).migrations).toMatchObject([
      { name: 'first', state: 'executed', rowsDone: 30 },
    ]);
  });
});

it('ui says for which lock a schema migration waits, and who holds it', async () => {
  await withProject(async (dir, url) => {
    writeFileSync(
      path.join(dir, 'migrations', 'second.mjs'),
      `export const up = (db) => db.raw('alter table t add column z int');`,
    );
    const ui = await startUi(dir, { DATABASE_URL: url });
    const holder = await connect(url);
    await holder.query('begin; lock table t in access share mode');
    const up = start(['up'], { cwd: dir, url });
    const blocker = await until('the lock is waited for', async () => (await ui.run('second')).blocker);
    expect(blocker).toMatch(/^AccessExclusiveLock on public\.t, behind transaction of pid \d+, \d+ s old$/);
    await holder.end();
    expect((await up.outcome).code).toBe(0);
    const after = await until('it is executed', async () => {
      const run = await ui.run('second');
      return run.row.state === 'executed' && run;
    });
    expect(after).toMatchObject({ blocker: null, row: { kind: 'schema' } });
  });
});

describe('a token', () => {
  it('is needed for all data, as a bearer or exchanged for a cookie that no script can read', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url, UMZUG_CLUSTER_TOKEN: token });
      for (const place of ['api/overview', 'api/runs/first', 'api/events'])
        expect((await ui.get(place)).status, place).toBe(401);
      expect((await ui.get('api/overview', { authorization: `Bearer ${token}` })).status).toBe(200);
      expect((await ui.get('api/overview', { authorization: `Bearer ${token}x` })).status).toBe(401);
      expect((await ui.post('api/session', { token: `${token}x` })).status).toBe(401);
      const signedIn = await ui.post('api/session', { token });
      const cookie = signedIn.headers.get('set-cookie') ?? '';
      expect(signedIn.status).toBe(204);
      expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict$/);
      expect(cookie).not.toContain(token);
      const headers = { cookie: cookie.split(';')[0] ?? '' };
      expect((await ui.get('api/overview', headers)).status).toBe(200);
    });
  });
});

describe('events', () => {
  it('are looked for once for any number of pages, and not at all for none', async () => {
    await withProject(async (dir, url) => {
      const config = await loadConfig({ flags: {}, cwd: dir, env: { DATABASE_URL: url } });
      const control = openControl(config);
      let looks = 0;
      let statements = 0;
      await control.use(async (session) => {
        session.onStatement = () => void (statements += 1);
        await Promise.resolve();
      });
      const about = { databaseId: 'x', canWrite: true };
      const feed = new Feed((asked) => {
        looks += 1;
        return lookAt(config, control, about, asked);
      });
      const watched = async (pages: number): Promise<number> => {
        const before = statements;
        looks = 0;
        let enough: () => void = () => undefined;
        const isEnough = new Promise<void>((resolve) => (enough = resolve));
        const stops = Array.from({ length: pages }, () =>
          feed.watch({ run: null, tell: () => looks === 2 && enough() }),
        );
        await isEnough;
        for (const stop of stops) stop();
        await feed.idle();
        expect(looks).toBe(2);
        return statements - before;
      };
      expect(await watched(50)).toBe(await watched(1));
      await control.close();
    });
  });

  it('bring everything first, and then what has changed', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url });
      let isRun = false;
      const events = await readEvents(ui, 'api/events', (seen) => {
        if (!isRun) void migrateHere(dir, url);
        isRun = true;
        return JSON.stringify(seen.at(-1)?.data).includes('"name":"second","kind":"data","state":"executed"');
      });
      expect(events[0]).toMatchObject({
        event: 'overview',
        data: { migrations: [{ name: 'first' }, { name: 'second' }] },
      });
      expect(events.at(-1)).toMatchObject({ event: 'change', data: { migrations: [{ name: 'second' }] } });
      const detail = await readEvents(ui, 'api/events?run=second', (seen) => seen.length === 2);
      expect(detail[0]).toMatchObject({ event: 'run', data: { row: { name: 'second', state: 'executed' } } });
      expect(detail[1]).toMatchObject({ event: 'change', data: { ranges: [], points: [] } });
    });
  });

  it('say that the database does not answer, and go on when it does', async () => {
    await withProject(async (dir, url) => {
      const ui = await startUi(dir, { DATABASE_URL: url });
      const name = new URL(url).pathname.slice(1);
      const allow = (is: boolean): Promise<unknown> =>
        onServer(`alter database ${name} allow_connections ${is}`);
      let step = 0;
      const events = await readEvents(ui, 'api/events', (seen) => {
        const kinds = [...new Set(seen.map(({ event }) => event))];
        if (step === 0) {
          step = 1;
          void allow(false).then(() =>
            onServer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`),
          );
        }
        if (step === 1 && kinds.includes('unavailable')) {
          step = 2;
          void allow(true);
        }
        return step === 2 && seen.at(-1)?.event === 'overview';
      });
      const last = events.findLast(({ event }) => event === 'unavailable');
      expect(last?.data).toMatchObject({ error: expect.stringMatching(/\w/) as string });
    });
  });
});
