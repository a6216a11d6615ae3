import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { writeAllTheWhile } from '../support/application.ts';
import { behindPgBouncer, expectDone, expectEachOnce, progress } from '../support/behind-pgbouncer.ts';
import { childrenOf, kill, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { counterRows, hurry, makeProject, rowsMigration, setMigration } from '../support/project.ts';

// FAULTS_LONG=1: each interruption in a run of its own, again and again, and more kills.
const isLong = process.env['FAULTS_LONG'] === '1';
const rounds = isLong ? 10 : 1;
const kills = isLong ? 60 : 4;
const timeout = isLong ? 1_800_000 : 120_000;
// so many chunks that there is work left when all has happened
const fine = ['up', '--workers', '2', '--chunk-size', '10'];
const coarse = ['up', '--workers', '2', '--chunk-size', '500'];

it(
  'restores stored values through the pooler, of the table and of another one',
  async ({ skip }) => {
    const source = `
      import { updateRows } from 'umzug-cluster';
      export const options = { undo: true };
      export const select = (db) => db('counters').select('id');
      export const update = async (db, rows) => {
        await db.raw('update counters set n = n + 1 where id = any (?)', [rows.map(({ id }) => id)]);
        await updateRows(db, 'other', [{ id: 1, n: rows[0].id }], { key: ['id'], set: ['n'] });
      };`;
    await behindPgBouncer(skip, { poolSize: 4 }, async ({ client, pooled }) => {
      await client.query('create table other (id int primary key, n int); insert into other values (1, 0)');
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url: pooled };
      await expectDone(start(coarse, place));
      await expectDone(start(['down', '--yes', '--workers', '2', '--chunk-size', '500'], place));
      const { rows } = await client.query(
        'select max(n)::int as n, (select n from other) as other from counters',
      );
      expect(rows).toEqual([{ n: 0, other: 0 }]);
    });
  },
  timeout,
);

describe('other clients of the pool', () => {
  const poolSize = 4;

  // What a transaction of the product or of the author could leave in a session of the server.
  const left = `
    select pg_backend_pid() as pid,
           (select jsonb_object_agg(name, setting) from pg_settings) as settings,
           (select count(*)::int from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') as locks,
           (select count(*)::int from pg_prepared_statements) as prepared,
           (select count(*)::int from pg_cursors where is_holdable) as cursors,
           (select count(*)::int from pg_listening_channels()) as channels,
           (select count(*)::int from pg_class where relnamespace = pg_my_temp_schema()) as tables`;

  /** Looks into every session of the pool: each client holds one in a transaction. */
  async function sessions(clients: readonly pg.Client[]): Promise<readonly Record<string, unknown>[]> {
    try {
      return await Promise.all(
        clients.map(async (client) => {
          // the language brings settings of its own with its first use
          await client.query('begin; do $$ begin end $$');
          return (await client.query<Record<string, unknown>>(left)).rows[0] ?? {};
        }),
      );
    } finally {
      await Promise.all(clients.map((client) => client.query('rollback')));
    }
  }

  const source = `
    import { setBased } from 'umzug-cluster';
    export const select = (db) => db('counters').select('id');
    export const update = async (db, rows) => {
      await db.raw("set local work_mem = '7MB'");
      await db.raw('create temp table mine (id bigint) on commit drop');
      await db.raw('select pg_advisory_xact_lock(7), pg_sleep(0.02)');
      await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    };`;
  const schema = `
    export const up = async (db) => {
      await db.raw("set local work_mem = '7MB'");
      await db.schema.createTable('further', (table) => table.integer('id'));
    };`;

  it(
    'find nothing in their sessions that they did not put there, during the run and after',
    async ({ skip }) => {
      await behindPgBouncer(skip, { poolSize }, async ({ client, pooled }) => {
        // PgBouncer leaves a client that has no name of its own under that of the last one.
        const own = { connectionString: pooled, application_name: 'shop' };
        const others = Array.from({ length: poolSize }, () => new pg.Client(own));
        await Promise.all(others.map((other) => other.connect()));
        try {
          const before = await sessions(others);
          const byPid = new Map(before.map((one) => [one['pid'], one]));
          expect(byPid.size, 'each client had a session of its own').toBe(poolSize);
          expect(before[0]).toMatchObject({ locks: 0, prepared: 0, cursors: 0, channels: 0, tables: 0 });

          const up = start(coarse, { cwd: makeProject({ 'a.ts': schema, 'b.ts': source }).dir, url: pooled });
          let isOver = false;
          void up.outcome.then(() => (isOver = true));
          const seen = new Set<unknown>();
          while (!isOver) {
            const [one = {}] = await sessions(others.slice(0, 1));
            expect(one).toEqual(byPid.get(one['pid']));
            if ((await rowsDone(client)) > 0) seen.add(one['pid']);
          }
          await expectDone(up);
          expect(seen.size, 'sessions were looked into while the run was under way').toBeGreaterThan(0);
          expect(new Map((await sessions(others)).map((one) => [one['pid'], one]))).toEqual(byPid);
          await expectEachOnce(client);
        } finally {
          await Promise.all(others.map((other) => other.end()));
        }
      });
    },
    timeout,
  );
});

describe('a pool of one session', () => {
  const styles = [
    ['rows', rowsMigration(0.01)],
    ['sets', setMigration(0.01)],
  ];
  it.for(isLong ? styles : styles.slice(0, 1))(
    'is enough for more workers, and for another client now and then, by %s',
    { timeout },
    async ([, source = ''], { skip }) => {
      await behindPgBouncer(skip, { poolSize: 1 }, async ({ client, pooled }) => {
        const application = writeAllTheWhile(pooled, 1);
        const up = start(coarse, { cwd: makeProject({ 'a.ts': source }).dir, url: pooled });
        await expectDone(up);
        await expectEachOnce(client, await application.stop());
      });
    },
  );
});

describe('a run is exactly once', () => {
  const interruptions: readonly [
    what: string,
    interrupt: (pooler: PgBouncer, database: string) => Promise<unknown>,
  ][] = [
    ['RECONNECT', (pooler) => pooler.admin('reconnect')],
    [
      'KILL and RESUME',
      async (pooler, database) => {
        // one that crashes of it, and is started again, may not answer and is not to be resumed
        const bearCrash = (error: unknown): void => {
          if (!/not paused|ECONNRE|terminated/.test(String(error))) throw error;
        };
        await pooler.admin(`kill ${database}`).catch(bearCrash);
        await pooler.admin(`resume ${database}`).catch(bearCrash);
      },
    ],
    [
      'PAUSE and RESUME',
      async (pooler, database) => {
        await pooler.admin(`pause ${database}`);
        await pooler.admin(`resume ${database}`);
      },
    ],
    [
      'SUSPEND and RESUME',
      (pooler) =>
        pooler.withConsole(async (admin) => {
          await admin('suspend');
          await admin('resume');
        }),
    ],
    [
      'kill -9 of PgBouncer and a new start',
      async (pooler) => {
        await pooler.kill();
        await pooler.restart();
      },
    ],
  ];
  // each in a run of its own, or one run that meets them all
  const courses = isLong ? interruptions.map((one) => [one]) : [interruptions];

  it.for(courses.map((course) => [course.map(([what]) => what).join(', '), course] as const))(
    'and finishes unattended through %s',
    { timeout },
    async ([, course], { skip }) => {
      await behindPgBouncer(skip, { poolSize: 4 }, async ({ client, name, pooler, pooled }) => {
        const { dir } = makeProject({ 'a.ts': rowsMigration(0.1) });
        const up = start(fine, { cwd: dir, url: pooled });
        for (let round = 0; round < rounds; round += 1) {
          for (const [, interrupt] of course) {
            await progress(client, up);
            await interrupt(pooler, name);
          }
        }
        expect(await rowsDone(client), 'there is work left').toBeLessThan(counterRows);
        hurry(dir);
        // in chunks of ten rows the rest would take longer than all of this
        expect(await run(['set', 'a', 'chunk-size=500'], { cwd: dir, url: pooled })).toMatchObject({
          code: 0,
        });
        await expectDone(up);
        await expectEachOnce(client);
      });
    },
  );

  it(
    `though its processes are killed ${kills} times`,
    async ({ skip }) => {
      await behindPgBouncer(skip, { poolSize: 4 }, async ({ client, pooled }) => {
        const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.1) }).dir, url: pooled };
        for (let round = 0; round < kills / 2; round += 1) {
          const up = start(fine, place);
          await progress(client, up);
          kill(await until('there is a worker', () => childrenOf(up.pid)[0]));
          await progress(client, up);
          expect(await rowsDone(client), 'there is work left').toBeLessThan(counterRows);
          killGroup(up.pid);
          await up.outcome;
        }
        hurry(place.cwd);
        await expectDone(start(coarse, place));
        await expectEachOnce(client);
        const { rows } = await client.query(
          `select state, query from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`,
        );
        expect(rows, 'no session of the pool has a transaction open').toEqual([]);
      });
    },
    timeout,
  );
});
