import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type pg from 'pg';
import { childrenOf, groupMembers, kill, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import type { Running } from '../support/cli.ts';
import { writeAllTheWhile } from '../support/application.ts';
import { withDatabase } from '../support/database.ts';
import {
  countersOf,
  createCounters,
  counterRows as usualRows,
  hurry,
  makeProject,
  rowsMigration,
  setMigration,
} from '../support/project.ts';

// 12 kills while the application writes, and each way of purging either by rows or by sets; FAULTS_LONG=1: 1,020, and
// 200 in one run, on more rows, and each way of purging both by rows and by sets.
const isLong = process.env['FAULTS_LONG'] === '1';
// each victim has its turn
const rounds = isLong ? 30 : 3;
const tables = isLong ? 17 : 1;
const counterRows = isLong ? usualRows : 10_000;
// so many that a run in chunks of five of them lasts for its kills
const teams = isLong ? 4_000 : 5_000;
// small chunks, so that a run lasts for all the kills
const args = ['up', '--workers', '2', '--chunk-size', '5'];
const coarse = ['up', '--workers', '2', '--chunk-size', '100'];
const timeout = isLong ? 1_800_000 : 240_000;

type Victim = 'primary' | 'worker' | 'group';
const victims: readonly Victim[] = ['primary', 'worker', 'group'];

async function strike(victim: Victim, { pid }: Running): Promise<void> {
  if (victim === 'group') return killGroup(pid);
  if (victim === 'primary') return kill(pid);
  kill(await until('the primary has a worker', () => childrenOf(pid)[0]));
}

async function counts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n order by n) from counters) as n,
            (select count(*)::int from writes) as writes,
            (select count(distinct id)::int from writes) as ids`,
  );
  return rows[0];
}

async function allGone({ pid, outcome }: Running): Promise<void> {
  await outcome;
  await until('the whole process group is gone', () => groupMembers(pid).length === 0);
}

/** Reads, computes, writes back what the application writes too; and writes down what it was given. */
const readAndWriteBack = `
  import { insertRows, updateRows } from 'umzug-cluster';
  export const select = (db) => db('counters').select('id', 'n', 'hits');
  export const update = async (db, rows, { chunk, attempt }) => {
    await db.raw('select pg_sleep(0.05)');
    await insertRows(db, 'given', rows.map(({ id }) => ({ id, chunk, attempt })));
    const changed = rows.map(({ id, n, hits }) => ({ id, n: n + 1, hits }));
    await updateRows(db, 'counters', changed, { key: ['id'], set: ['n', 'hits'] });
  };`;

/** The same for the counters of each team: of teams that are locked by another table, and of the groups that they are. */
const ofTeams = (options: string, select: string, counters: string): string => `
  import { insertRows, updateRows } from 'umzug-cluster';
  export const options = ${options};
  export const select = (db) => ${select};
  export const update = async (db, rows, { chunk, attempt }) => {
    const counters = ${counters};
    await db.raw('select pg_sleep(0.05)');
    await insertRows(db, 'given', counters.map(({ id }) => ({ id, chunk, attempt })));
    const changed = counters.map(({ id, n, hits }) => ({ id, n: n + 1, hits }));
    await updateRows(db, 'counters', changed, { key: ['id'], set: ['n', 'hits'] });
  };`;
const byParents = ofTeams(
  `{ weigh: (db) => db('counters').count().whereColumn('counters.team', 'teams.id') }`,
  `db('teams').select('id')`,
  `await db('counters').whereIn('team', rows.map(({ id }) => id)).orderBy('id').forNoKeyUpdate()`,
);
const byGroups = ofTeams(
  '{}',
  `db('counters').select('team', db.raw("json_agg(json_build_object('id', id, 'n', n, 'hits', hits)) as all_of_it")).groupBy('team')`,
  'rows.flatMap((row) => row.all_of_it)',
);

it.each(
  Array.from({ length: tables }, () => [
    ['rows', readAndWriteBack, rounds] as const,
    ['sets', setMigration(0.05), rounds] as const,
    ['parents', byParents, rounds] as const,
    ['groups', byGroups, rounds] as const,
  ]).flat(),
)(
  `writes every row once though processes are killed again and again while the application writes, by %s`,
  async (style, source, kills) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(
        `${countersOf(counterRows)}; create table given (id bigint, chunk text, attempt int)`,
      );
      await client.query(`
        alter table counters add team int not null generated always as (id % ${teams}) stored;
        create index on counters (team);
        create table teams as select i as id from generate_series(0, ${teams - 1}) as i; alter table teams add primary key (id);
        analyze`);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const application = writeAllTheWhile(url, 2, counterRows);
      for (let round = 0; round < kills; round += 1) {
        const victim = victims[round % victims.length] ?? 'group';
        const before = await rowsDone(client);
        expect(before, `round ${round} has rows left to do`).toBeLessThan(counterRows);
        const running = start(args, place);
        await until('rows are migrated', async () => (await rowsDone(client)) > before);
        // the kill must hit another point of the chunk each time
        await sleep(Math.random() * 50);
        await strike(victim, running);
        if (victim === 'worker') {
          const atDeath = await rowsDone(client);
          await until('the others go on', async () => (await rowsDone(client)) > atDeath);
          killGroup(running.pid);
        }
        await allGone(running);
      }
      const last = start(['up'], place);
      expect(await last.outcome).toMatchObject({ code: 0 });
      await allGone(last);
      const acknowledged = await application.stop();
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
      const { rows } = await client.query(
        `select (select sum(hits)::int from counters) as hits, (select count(*)::int from given) as given,
                (select count(distinct id)::int from given) as ids`,
      );
      const given = style === 'sets' ? 0 : counterRows;
      expect(rows, 'no write of the application is lost').toEqual([
        { hits: acknowledged, given, ids: given },
      ]);
    });
  },
  timeout,
);

it(
  'replaces a killed worker and finishes with exit code 0',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': rowsMigration(0.3) });
      const running = start(coarse, { cwd: dir, url });
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await strike('worker', running);
      hurry(dir);
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/worker \d+ died/);
      await allGone(running);
      expect(await counts(client)).toEqual({ n: [1], writes: usualRows, ids: usualRows });
    });
  },
  timeout,
);

// Sixteen without progress end a run.
const deaths = 200;

it.runIf(isLong)(
  `bears ${deaths} killed workers in one run, each of which has committed a chunk`,
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(`${createCounters}; create table given (pid int)`);
      const source = rowsMigration(0.1).replace(
        'await db(',
        "await db('given').insert({ pid: process.pid }); await db(",
      );
      const { dir } = makeProject({ 'a.ts': source });
      const env = { UMZUG_CLUSTER_LANES: '1' };
      const place = { cwd: dir, url, env };
      const running = start(['up', '--workers', '2', '--chunk-size', '2'], place);
      const dead: number[] = [];
      while (dead.length < deaths) {
        const victim = await until('another worker has committed a chunk', async () => {
          const pids = childrenOf(running.pid).filter((pid) => !dead.includes(pid));
          const { rows } = await client.query<{ pid: number }>(
            'select pid from given where pid = any ($1) limit 1',
            [pids],
          );
          return rows[0]?.pid;
        });
        kill(victim);
        dead.push(victim);
      }
      hurry(dir);
      // In chunks of two rows the rest would take minutes.
      await run(['set', 'a', 'chunk-size=1000'], place);
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      expect(stderr.match(/worker \d+ died/g)).toHaveLength(deaths);
      await allGone(running);
      expect(await counts(client)).toEqual({ n: [1], writes: usualRows, ids: usualRows });
    });
  },
  3_600_000,
);

it.each([
  ['rows', rowsMigration(0.1)],
  ['sets', setMigration(0.1)],
])(
  'goes back from the middle of a killed run, and up again, by %s',
  async (_style, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(countersOf(counterRows));
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      const running = start(coarse, place);
      await until('a third is migrated', async () => (await rowsDone(client)) > counterRows / 3);
      killGroup(running.pid);
      await allGone(running);
      hurry(place.cwd);
      expect(await counts(client), 'killed in the middle').toMatchObject({ n: [0, 1] });

      const down = await run(['down', '--workers', '1', '--chunk-size', '200'], place);
      expect(down.code, down.stderr).toBe(0);
      const { rows } = await client.query(
        'select distinct count(*)::int as times from writes group by id order by 1',
      );
      expect(rows, 'only what was written is taken back').toEqual([{ times: 2 }]);
      expect(await counts(client)).toMatchObject({ n: [0] });

      await client.query('truncate writes');
      expect(await run(['up', '--workers', '1'], place)).toMatchObject({ code: 0 });
      expect(await counts(client)).toEqual({ n: [1], writes: counterRows, ids: counterRows });
    });
  },
  timeout,
);

const where = `.where('created_at', '<', '2026-02-01T00:00:00Z')`;
const key = ['id', 'created_at'];

/** Old rows of a partitioned table are deleted or moved, by sets and by rows. */
const purges: readonly (readonly [what: string, isArchive: boolean, source: string])[] = [
  [
    'set-based, a purge',
    false,
    `export const select = (db) => db('events')${where};
     export const update = setBased(async (chunk, db) => { await db.raw('select pg_sleep(0.05)'); await chunk.delete(); });`,
  ],
  [
    'set-based, an archive',
    true,
    `export const select = (db) => db('events')${where};
     export const update = setBased((chunk, db) => db.raw(
       \`with slow as (select pg_sleep(0.05)), gone as (
         delete from events using ? c where events.id = c.id and events.created_at = c.created_at returning events.*)
       insert into events_archive select gone.* from gone, slow\`, [chunk]));`,
  ],
  [
    'by rows, a purge',
    false,
    `export const select = (db) => db('events').select(${JSON.stringify(key)})${where};
     export const update = async (db, rows) => {
       await db.raw('select pg_sleep(0.05)');
       await deleteRows(db, 'events', rows, { key: ${JSON.stringify(key)} });
     };`,
  ],
  [
    'by rows, an archive',
    true,
    `export const select = (db) => db('events').select('id', 'created_at', 'kind')${where};
     export const update = async (db, rows) => {
       await insertRows(db, 'events_archive', rows);
       await db.raw('select pg_sleep(0.05)');
       const keys = rows.map(({ id, created_at }) => ({ id, created_at }));
       await deleteRows(db, 'events', keys, { key: ${JSON.stringify(key)} });
     };`,
  ],
];

const oldRows = 1_200;
const createEvents = `
  create table events (id bigint, created_at timestamptz, kind text, primary key (id, created_at)) partition by range (created_at);
  create table events_2025 partition of events for values from (minvalue) to ('2026-01-01');
  create table events_2026_01 partition of events for values from ('2026-01-01') to ('2026-02-01');
  create table events_rest partition of events default;
  create table events_archive (like events);
  create table deleted (id bigint);
  create function note_delete() returns trigger language plpgsql as
    $$ begin insert into deleted values (old.id); return null; end $$;
  create trigger note_delete after delete on events for each row execute function note_delete();
  insert into events select n, timestamptz '2025-12-03T00:00:00Z' + n % 120 * interval '1 day', 'a'
    from generate_series(1, ${oldRows * 2}) as n;
  analyze events;`;

it.each(isLong ? purges : purges.filter(([what]) => /set-based, an archive|by rows, a purge/.test(what)))(
  'deletes each old row of a partitioned table once though processes are killed, %s',
  async (_what, isArchive, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createEvents);
      const imports = `import { deleteRows, insertRows, setBased } from 'umzug-cluster';
        void [deleteRows, insertRows, setBased]; export const options = { allowDelete: true };`;
      const place = { cwd: makeProject({ 'a.ts': imports + source }).dir, url };
      for (const victim of ['primary', 'group'] as const) {
        const before = await rowsDone(client);
        const running = start(args, place);
        await until('rows are deleted', async () => (await rowsDone(client)) > before);
        await strike(victim, running);
        await allGone(running);
      }
      expect(await rowsDone(client), 'there are rows left to do').toBeLessThan(oldRows);
      const last = await start(['up', '--chunk-size', '100'], place).outcome;
      expect(last.code, last.stderr).toBe(0);
      const { rows } = await client.query(`
        select (select count(*)::int from events where created_at < '2026-02-01T00:00:00Z') as old,
          (select count(*)::int from events) as young, (select count(*)::int from deleted) as deleted,
          (select count(distinct id)::int from deleted) as once, (select count(*)::int from events_archive) as archived,
          (select count(distinct id)::int from events_archive) as archived_once`);
      const archived = isArchive ? oldRows : 0;
      const counted = { young: oldRows, deleted: oldRows, once: oldRows, archived, archived_once: archived };
      expect(rows).toEqual([{ old: 0, ...counted }]);
    });
  },
  timeout,
);
