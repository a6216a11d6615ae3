import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { type BadInput, itAnswers, secret } from '../support/bad-input.ts';
import { run } from '../support/cli.ts';
import { onServer, withDatabase } from '../support/database.ts';
import { type Behaviour, fakeServer } from '../support/fake-server.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { makeProject } from '../support/project.ts';

const files = {
  'migrations/a.ts': `
    export const select = (db) => db('t').select('id');
    export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`,
};
const tables = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 100);
  create table hidden (id int primary key, n int);
  alter table hidden enable row level security;
  alter table hidden force row level security;
  create schema umzug_cluster;`;
// What answers has time to, however busy the machine is; only silence is cut short.
const impatient = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '200' };
const hasty = { ...impatient, UMZUG_CLUSTER_CONNECT_TIMEOUT_MS: '500' };

const cleanups: (() => void | Promise<unknown>)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups) await cleanup();
});

const change = (
  what: string,
  edit: (url: URL) => void,
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => ({
  what,
  files,
  env: impatient,
  exit: 4,
  url: (given) => {
    const url = new URL(given);
    edit(url);
    return url.href;
  },
  says,
  ...more,
});
const fake = (
  what: string,
  behaviour: Behaviour,
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => ({
  what,
  files,
  env: impatient,
  exit: 2,
  url: async () => {
    const server = await fakeServer(behaviour);
    cleanups.push(server.close);
    return server.url;
  },
  says,
  ...more,
});
/** An ordinary role of one case, with these rights. */
const role = (
  what: string,
  attributes: string,
  rights: (role: string) => readonly string[],
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => ({
  what,
  files,
  env: impatient,
  url: async (given) => {
    const name = `r_${randomBytes(6).toString('hex')}`;
    const url = new URL(given);
    await onServer(`create role ${name} ${attributes} password '${secret}'`);
    cleanups.push(() => onServer(`drop role ${name}`));
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: given });
    await client.connect();
    cleanups.unshift(async () => {
      const again = new pg.Client({ connectionString: given });
      await again.connect().then(
        () => again.query(`drop owned by ${name}`),
        () => undefined,
      );
      await again.end();
    });
    for (const right of rights(name)) await client.query(right);
    await client.end();
    url.username = name;
    url.password = secret;
    return url.href;
  },
  says,
  ...more,
});

async function closedPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

describe('a database is refused', () => {
  itAnswers(
    [
      change('with a wrong password', (url) => (url.password = secret), [
        /password authentication failed/,
        /28P01/,
      ]),
      change('with an unknown name', (url) => (url.pathname = '/nope'), [
        /database "nope" does not exist/,
        /3D000/,
      ]),
      change('for an unknown role', (url) => (url.username = 'nobody_here'), /nobody_here/),
      change(
        'that takes no connections',
        (url) => (url.pathname = '/template0'),
        /template0.*not currently accepting connections/,
      ),
      change('on a host that is not there', (url) => (url.hostname = 'nowhere.invalid'), [
        /nowhere\.invalid/,
        /ENOTFOUND|EAI_AGAIN/,
      ]),
      change(
        'behind a socket that is not there',
        (url) => url.searchParams.set('host', '/nowhere'),
        /\/nowhere.*ENOENT/,
      ),
      change('that has no TLS', (url) => url.searchParams.set('sslmode', 'verify-full'), [
        /does not support SSL/,
        /sslmode/,
      ]),
      change('on a port that is closed, in status', () => undefined, /ECONNREFUSED/, {
        args: 'status',
        url: async () => `postgres://u:${secret}@127.0.0.1:${await closedPort()}/d`,
      }),
      change('on a port that is closed, in down', () => undefined, /127\.0\.0\.1.*ECONNREFUSED/, {
        args: 'down',
        url: async () => `postgres://u:${secret}@127.0.0.1:${await closedPort()}/d`,
      }),
      fake('that is PostgreSQL 9.6', { parameters: { server_version: '9.6.24' } }, [
        /the server is PostgreSQL 9\.6\.24/,
        /14 or newer/,
      ]),
      fake(
        'that is PostgreSQL 11',
        { parameters: { server_version: '11.22 (Debian 11.22-1)' } },
        /the server is PostgreSQL 11\.22/,
        { args: 'status' },
      ),
      fake('that is a web server', { says: 'HTTP/1.1 400 Bad Request\r\n\r\n' }, /127\.0\.0\.1/, { exit: 4 }),
      fake('that hangs up', { says: '' }, /127\.0\.0\.1/, { exit: 4 }),
      fake('that says nothing', 'silent', /127\.0\.0\.1.*(500 ms|timeout)/, { exit: 4, env: hasty }),
      fake(
        'that is a standby',
        {
          parameters: { server_version: '16.2' },
          error: ['25006', 'cannot set transaction read-write mode during recovery'],
        },
        [/read-only: cannot set/, /give the URL of the primary/],
        { exit: 4 },
      ),
    ],
    tables,
  );
});

describe('a role is refused', () => {
  itAnswers(
    [
      role('that may not log in', 'nologin', () => [], /not permitted to log in/, { exit: 4 }),
      role(
        'that may not read the table',
        'login',
        (name) => [`grant usage, create on schema umzug_cluster to ${name}`],
        [/a: no permission to select from "t"/, /grant select, update on "public"\."t" to "r_/],
      ),
      role(
        'that may not write the table',
        'login',
        (name) => [`grant usage, create on schema umzug_cluster to ${name}`, `grant select on t to ${name}`],
        [/a: no permission to update "t"/, /grant select, update on/],
      ),
      role('that may not make the ledger', 'login', (name) => [`grant select, update on t to ${name}`], [
        /may not create the ledger/,
        /grant usage, create on schema "umzug_cluster" to "r_/,
      ]),
      role(
        'from which row-level security hides rows',
        'login',
        (name) => [
          `grant usage, create on schema umzug_cluster to ${name}`,
          `grant select, update on hidden to ${name}`,
        ],
        [/a: row-level security hides rows of "hidden"/, /bypassrls/],
        { files: { 'migrations/a.ts': files['migrations/a.ts'].replaceAll(`'t'`, `'hidden'`) } },
      ),
    ],
    tables,
  );
});

it('a pooler in statement mode is refused', async (context) => {
  const pooler = await startPgBouncer({ url: inject('serverUrl'), settings: { pool_mode: 'statement' } });
  if (pooler === null) return context.skip();
  try {
    await withDatabase(async ({ name, client }) => {
      await client.query(tables);
      const { dir } = makeProject({ 'a.ts': files['migrations/a.ts'] });
      const place = { cwd: dir, url: pooler.url(name), env: impatient };
      const outcome = await run(['up'], place);
      expect(outcome.code, outcome.stderr).toBe(4);
      expect(outcome.stderr).toMatch(/statement pooling mode\n[^]*set pool_mode = transaction/);
      expect((await client.query('select sum(n)::int as sum from t')).rows).toEqual([{ sum: 0 }]);
    });
  } finally {
    await pooler.stop();
  }
});
