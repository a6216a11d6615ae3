import { existsSync } from 'node:fs';
import pg from 'pg';
import { describe, expect, inject, it } from 'vitest';
import { createDatabase, onServer, withDatabase } from '../support/database.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { startTestServer } from '../support/server.ts';

async function exists(name: string): Promise<boolean> {
  const { rowCount } = await onServer(`select 1 from pg_database where datname = '${name}'`);
  return rowCount === 1;
}

async function query(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('a test database', () => {
  it('is fresh, connected and dropped at the end', async () => {
    const names = await Promise.all(
      [1, 2, 3].map(() =>
        withDatabase(async ({ client, name, url }) => {
          await client.query('create table items (id int)');
          expect(await query(url, 'select current_database() as name')).toEqual([{ name }]);
          expect(await exists(name)).toBe(true);
          return name;
        }),
      ),
    );
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(await exists(name)).toBe(false);
  });

  it('is dropped although somebody is connected', async () => {
    const db = await createDatabase();
    const other = new pg.Client({ connectionString: db.url });
    // two errors come: the server's notice, then the end of the connection
    const cut = new Promise<Error>((resolve) => other.on('error', resolve));
    await other.connect();
    await db.drop();
    expect(await cut).toBeInstanceOf(Error);
    expect(await exists(db.name)).toBe(false);
  });

  it.skipIf(process.env.KEEP_DATABASES)('hands on what the test throws', async () => {
    let name = '';
    const failure = withDatabase(async (db) => {
      name = db.name;
      throw new Error('on purpose');
    });
    await expect(failure).rejects.toThrow('on purpose');
    expect(await exists(name)).toBe(false);
  });
});

describe('a test server', () => {
  it('can be had for one test, with settings, and leaves nothing behind', async () => {
    const server = await startTestServer({ settings: { max_connections: '17' } });
    expect(server.url).not.toBe(inject('serverUrl'));
    expect(await query(server.url, 'show max_connections')).toEqual([{ max_connections: '17' }]);
    await server.remove();
    expect(existsSync(server.projectDir)).toBe(false);
  });
});

describe('PgBouncer', () => {
  it('shares few sessions among many clients in transaction mode', async ({ skip }) => {
    await withDatabase(async ({ name }) => {
      const pooler = await startPgBouncer({ url: inject('serverUrl'), poolSize: 1 });
      if (pooler === null) return skip('PgBouncer can neither be found nor fetched');
      try {
        const one = new pg.Client({ connectionString: pooler.url(name) });
        const other = new pg.Client({ connectionString: pooler.url(name) });
        await Promise.all([one.connect(), other.connect()]);
        const pids = await Promise.all(
          [one, other].map(async (client) => {
            const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
            return rows[0]?.pid;
          }),
        );
        expect(pids[0]).toBe(pids[1]);
        const pools = await pooler.admin('show pools');
        expect(pools).toContainEqual(expect.objectContaining({ database: name, pool_mode: 'transaction' }));
        await Promise.all([one.end(), other.end()]);
      } finally {
        await pooler.stop();
      }
    });
  });
});
