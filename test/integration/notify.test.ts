import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { createMigrator } from '../../src/application.ts';
import type { Migrator } from '../../src/migrator/migrator.ts';
import type { Notification } from '../../src/notify/notification.ts';
import { run } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { startReceiver } from '../support/receiver.ts';

const secret = 'a-secret-of-this-test';
const secretPath = '/services/a-path-of-this-test';
const rows = `create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 30); analyze t`;

/** Functions of knexfiles and migrations find it: they run in the process of the test. */
const shared = globalThis as unknown as { notifyTest: { gate: Promise<void>; told: Notification[] } };

const migration = `
  export const select = (db) => db('t').select('id');
  export const update = async (db, rows) => {
    await globalThis.notifyTest?.gate;
    if (rows.some(({ id }) => id === 7) && globalThis.notifyTest?.isBad) throw new Error('no sevens');
    await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
  };
  export const down = { select, update };`;

function projectWith(notify: string): string {
  const { dir } = makeProject({ 'a.mjs': migration });
  writeFileSync(
    path.join(dir, 'knexfile.mjs'),
    `export default { migrations: { cluster: { chunkSize: 10, lanes: 1, notify: ${notify} } } };`,
  );
  return dir;
}

/** Does `work` with a database of thirty rows and a migrator, in this process alone, that tells what `notify` says. */
async function withMigrator(
  notify: string,
  work: (migrator: Migrator, db: TestDatabase, cwd: string) => Promise<void>,
): Promise<void> {
  await withDatabase(async (db) => {
    await db.client.query(rows);
    const cwd = projectWith(notify);
    const migrator = await createMigrator({ cwd, databaseUrl: db.url, workers: 1 });
    try {
      await work(migrator, db, cwd);
    } finally {
      await migrator.close();
    }
  });
}

async function undelivered({ client }: TestDatabase): Promise<readonly unknown[]> {
  const { rows } = await client.query<{ detail: unknown }>(
    `select detail from umzug_cluster.history where event = 'undelivered' order by id`,
  );
  return rows.map(({ detail }) => detail);
}

/** Ends the wait for what is still to be delivered, as a second signal does. */
async function closeAtOnce(migrator: Migrator): Promise<void> {
  migrator.stop('SIGINT', 'abort');
  await migrator.close();
}

it('a webhook is told of the start and the end of a run and of its rollback, signed', async () => {
  const receiver = await startReceiver();
  const hook = `{ url: '${receiver.url}/hook', secret: '${secret}' }`;
  await withMigrator(`{ started: ${hook}, done: ${hook} }`, async (migrator) => {
    await migrator.up();
    await migrator.down();
    await migrator.close();
    const told = receiver.notifications();
    // Two targets, each of which is in order.
    const shown = (event: string): unknown[] =>
      told.filter((one) => one.event === event).map(({ migration, direction }) => [migration, direction]);
    expect(shown('started')).toEqual([
      ['a', 'up'],
      ['a', 'down'],
    ]);
    expect(shown('done')).toEqual([
      ['a', 'up'],
      ['a', 'down'],
    ]);
    expect(told.find(({ event }) => event === 'done')).toMatchObject({
      version: 1,
      run: expect.stringMatching(/^\d+$/) as string,
      progress: { rowsDone: 30, rowsEstimated: 30, fraction: 1, quarantined: 0 },
    });
    for (const { headers, body } of receiver.received) {
      const signed = createHmac('sha256', secret).update(
        `${headers['x-umzug-cluster-timestamp'] as string}.${body}`,
      );
      expect(headers['x-umzug-cluster-signature']).toBe(`sha256=${signed.digest('hex')}`);
      const { id, event } = JSON.parse(body) as Notification;
      expect([headers['x-umzug-cluster-id'], headers['x-umzug-cluster-event']]).toEqual([id, event]);
    }
  });
});

it('what is answered with 500 is sent again, and nothing is undelivered', async () => {
  const receiver = await startReceiver((response, index) => {
    response.statusCode = index === 0 ? 500 : 200;
    response.end();
  });
  await withMigrator(`{ done: { url: '${receiver.url}' } }`, async (migrator, db) => {
    await migrator.up();
    await migrator.close();
    const [first, second, ...more] = receiver.notifications();
    expect(more).toEqual([]);
    expect(second).toEqual(first);
    expect(await undelivered(db)).toEqual([]);
  });
});

it('a redirect is not followed, an answer of 404 is final, and both are in the history', async () => {
  const other = await startReceiver();
  const receiver = await startReceiver((response, index) => {
    if (index === 0) response.writeHead(307, { location: `${other.url}/elsewhere` });
    else response.statusCode = 404;
    response.end();
  });
  await withMigrator(`{ done: { url: '${receiver.url}${secretPath}' } }`, async (migrator, db) => {
    await migrator.up();
    await migrator.down();
    await migrator.close();
    const { host } = new URL(receiver.url);
    const about = { notification: 'done', target: 'webhook', host };
    expect(await undelivered(db)).toEqual([
      { ...about, error: 'answered 307: redirects are not followed' },
      { ...about, error: 'answered 404' },
    ]);
    expect(receiver.received).toHaveLength(2);
    expect(other.received).toEqual([]);
  });
});

it('a run is done while a webhook that never answers has its start, which is undelivered at the end', async () => {
  const receiver = await startReceiver(() => undefined);
  await withMigrator(`{ started: { url: '${receiver.url}' } }`, async (migrator, db) => {
    expect(await migrator.up()).toMatchObject([{ name: 'a', rows: 30 }]);
    await receiver.has(1);
    await closeAtOnce(migrator);
    expect(await undelivered(db)).toMatchObject([{ error: 'no answer before the command ended' }]);
  });
});

it('a command gets the event on stdin without a shell, in the folder of the knexfile, and little of the environment', async () => {
  const program = `
    const { writeFileSync } = require('node:fs');
    writeFileSync('told.json', JSON.stringify([process.argv.slice(1), process.env, require('node:fs').readFileSync(0, 'utf8')]));`;
  const command = ['node', '-e', program, '--', '$HOME; ls'];
  await withMigrator(
    `{ done: { command: ${JSON.stringify(command)}, env: { TOKEN: 'one' } } }`,
    async (migrator, { url }, cwd) => {
      await migrator.up();
      await migrator.close();
      const written = readFileSync(path.join(cwd, 'told.json'), 'utf8');
      const [argv, env, stdin] = JSON.parse(written) as [string[], Record<string, string>, string];
      expect(argv).toEqual(['$HOME; ls']);
      expect(JSON.parse(stdin)).toMatchObject({ version: 1, event: 'done', migration: 'a' });
      expect(env).toMatchObject({ TOKEN: 'one', UMZUG_CLUSTER_EVENT: 'done' });
      expect(Object.keys(env)).not.toContain('DATABASE_URL');
      expect(written).not.toContain(new URL(url).password || url);
    },
  );
});

it('a command that cannot be started, and one that fails, hold up nothing', async () => {
  const targets = `[{ command: ['./is-not-there', '${secret}'] }, { command: ['node', '-e', 'process.exit(3)'] }]`;
  await withMigrator(`{ started: ${targets} }`, async (migrator, db) => {
    await migrator.up();
    await closeAtOnce(migrator);
    expect(await undelivered(db)).toHaveLength(2);
    expect(await undelivered(db)).toContainEqual({
      notification: 'started',
      target: 'command',
      program: 'is-not-there',
      error: 'ENOENT',
    });
  });
});

it('a function is told; one that throws or never resolves fails no run, and its URL is kept secret', async () => {
  shared.notifyTest = { gate: Promise.resolve(), told: [] };
  const notify = `{
    started: (told) => void globalThis.notifyTest.told.push(told),
    done: [() => { throw new Error('POST https://u:p@chat.example${secretPath} failed'); }, () => new Promise(() => {})],
  }`;
  await withMigrator(notify, async (migrator, db) => {
    await migrator.up();
    await closeAtOnce(migrator);
    expect(shared.notifyTest.told).toMatchObject([{ event: 'started', migration: 'a' }]);
    const errors = (await undelivered(db)) as { error: string }[];
    expect(errors.map(({ error }) => error).toSorted()).toEqual([
      'POST https://chat.example/… failed',
      'no answer before the command ended',
    ]);
  });
});

it('quarantined rows are told with their keys, and then that the run has failed', async () => {
  shared.notifyTest = { gate: Promise.resolve(), told: [], isBad: true } as typeof shared.notifyTest;
  const receiver = await startReceiver();
  await withMigrator(
    `Object.fromEntries(['quarantined', 'failed'].map((event) => [event, { url: '${receiver.url}' }]))`,
    async (migrator) => {
      await expect(migrator.up()).rejects.toThrow('1 row is quarantined');
      await migrator.close();
      const told = receiver.notifications();
      expect(told.find(({ event }) => event === 'quarantined')?.detail).toEqual({
        rows: [{ key: ['7'], error: 'no sevens', sqlstate: null }],
      });
      expect(told.find(({ event }) => event === 'failed')?.detail).toEqual({ error: '1 row is quarantined' });
      expect(told).toHaveLength(2);
    },
  );
});

it('two hosts that share a run tell of it once, and a pause is told by whoever paused', async () => {
  let open = (): void => undefined;
  shared.notifyTest = { gate: new Promise((resolve) => (open = resolve)), told: [] };
  const receiver = await startReceiver();
  const hook = `[{ url: '${receiver.url}' }]`;
  await withMigrator(`{ started: ${hook}, paused: ${hook}, done: ${hook} }`, async (one, db, cwd) => {
    const other = await createMigrator({ cwd, databaseUrl: db.url, workers: 1 });
    const hosts = [one.up(), other.up()];
    const stopped = Promise.allSettled(hosts);
    const joined = `select from umzug_cluster.history where event = 'joined'`;
    while ((await db.client.query(joined).catch(() => null))?.rowCount !== 1);
    await one.operator.tell('a', 'pause');
    open();
    await stopped;
    await one.resume('a');
    await Promise.all([one.close(), other.close()]);
    const events = receiver.notifications().map(({ event }) => event);
    expect(events.filter((event) => event === 'started')).toHaveLength(1);
    expect(events.filter((event) => event === 'paused')).toHaveLength(1);
    expect(events.filter((event) => event === 'done')).toHaveLength(1);
    expect(events).toHaveLength(3);
  });
});

it('a run that is out of time says so, and a stop by hand does not', async () => {
  for (const [reason, told] of [
    ['deadline', ['outOfTime']],
    ['SIGTERM', []],
  ] as const) {
    let open = (): void => undefined;
    let begun = (): void => undefined;
    const hasBegun = new Promise<void>((resolve) => (begun = resolve));
    const gate = new Promise<void>((resolve) => (open = resolve));
    shared.notifyTest = {
      told: [],
      get gate() {
        begun();
        return gate;
      },
    };
    const receiver = await startReceiver();
    await withMigrator(`{ outOfTime: { url: '${receiver.url}' } }`, async (migrator) => {
      const stopped = expect(migrator.up()).rejects.toThrow('stopped');
      await hasBegun;
      migrator.stop(reason, 'drain');
      open();
      await stopped;
      await migrator.close();
      expect(receiver.notifications().map(({ event }) => event)).toEqual(told);
    });
  }
});

it('no output names a secret or the path of a URL, and the history shows what was not delivered', async () => {
  const receiver = await startReceiver((response) => {
    response.statusCode = 410;
    response.end(secret);
  });
  await withDatabase(async (db) => {
    await db.client.query(rows);
    const cwd = projectWith(`{ done: { url: '${receiver.url}${secretPath}', secret: '${secret}' } }`);
    const place = { cwd, url: db.url };
    const up = await run(['up', '--verbose', '--log-format', 'json', '--log-level', 'debug'], place);
    expect(up.code).toBe(0);
    expect(up.stderr).toContain('"event":"notification.undelivered"');
    const history = await run(['history'], place);
    expect(history.stdout).toMatch(/undelivered .* answered 410, .*target=webhook/);
    const all = JSON.stringify([up, history, await run(['history', '--json'], place)]);
    for (const hidden of [secret, secretPath]) expect(all).not.toContain(hidden);
  });
});

it('the knexfile and the verification of the documentation work as shown', async () => {
  const shown = readFileSync(path.join(import.meta.dirname, '../../docs/notifications.md'), 'utf8');
  const [knexfile = '', verification = ''] = [...shown.matchAll(/```js\n([\s\S]*?)```/g)].map(
    ([, text]) => text,
  );
  const receiver = await startReceiver();
  await withDatabase(async ({ client, url }) => {
    await client.query(rows);
    const { dir } = makeProject({ 'a.mjs': migration });
    writeFileSync(path.join(dir, 'knexfile.mjs'), knexfile);
    // Read as its own process reads it, with failing rows: one target of each event that there is.
    const env = { CHAT_URL: `${receiver.url}/chat`, OPS_URL: `${receiver.url}/ops`, OPS_SECRET: secret };
    const bad = migration.replace('globalThis.notifyTest?.isBad', 'true');
    writeFileSync(path.join(dir, 'migrations', 'a.mjs'), bad);
    expect((await run(['up'], { cwd: dir, url, env })).code).toBe(1);
    const [chat] = receiver.received.filter((one) => one.path === '/chat');
    expect(JSON.parse(chat?.body ?? '')).toEqual({
      text: expect.stringMatching(/^\*failed\* a: failed: 1 row is quarantined; 29 rows .*$/) as string,
    });
    mkdirSync(path.join(dir, 'receiver'));
    writeFileSync(path.join(dir, 'receiver', 'verify.mjs'), verification);
    const module = pathToFileURL(path.join(dir, 'receiver', 'verify.mjs')).href;
    type Verify = (headers: unknown, body: string, secret: string) => boolean;
    const { isGenuine } = (await import(/* @vite-ignore */ module)) as { isGenuine: Verify };
    const [ops] = receiver.received.filter((one) => one.path === '/ops');
    expect(isGenuine(ops?.headers, ops?.body ?? '', secret)).toBe(true);
    expect(isGenuine(ops?.headers, `${ops?.body} `, secret)).toBe(false);
  });
});
