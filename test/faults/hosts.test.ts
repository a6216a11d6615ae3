import type pg from 'pg';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { groupMembers, killGroup, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
const timeout = isLong ? 2_400_000 : 240_000;

/**
 * A table with a counter for each data migration. Triggers write down every UPDATE of a row, and every
 * statement that runs before the migrations ahead of its own are recorded and have no open range.
 */
const createOrdered = [
  `create table ordered (id bigint primary key, a int not null default 0, b int not null default 0,
                         c int not null default 0)`,
  'insert into ordered (id) select generate_series(1, 6000)',
  'analyze ordered',
  'create table written (step text not null, id bigint not null)',
  'create table early (step text not null, behind text not null)',
  `create function note_row() returns trigger language plpgsql as
     $$ begin insert into written values (tg_argv[0], new.id); return null; end $$`,
  `create function note_order() returns trigger language plpgsql as $$
     begin
       insert into early
       select tg_argv[0], ahead from unnest(string_to_array(tg_argv[1], ',')) as ahead
       where not exists (select from umzug_cluster.migrations as m where m.name = ahead)
          or exists (select from umzug_cluster.runs as r join umzug_cluster.ranges as p on p.run_id = r.id
                     where r.name = ahead and p.state = 'open');
       return null;
     end $$`,
  ...[
    ['a', '1-table'],
    ['b', '1-table,2-a'],
    ['c', '1-table,2-a,3-b'],
  ].flatMap(([step, ahead]) => [
    `create trigger row_${step} after update of ${step} on ordered for each row
       execute function note_row('${step}')`,
    `create trigger order_${step} after update of ${step} on ordered for each statement
       execute function note_order('${step}', '${ahead}')`,
  ]),
];

/**
 * On a host that STAYS, chunks are slow until the other one was killed in this migration; not so slow that it could
 * not steal a part of their range.
 */
const addTo = (column: string): string => `
  import { existsSync } from 'node:fs';
  export const select = (db) => db('ordered').select('id');
  export const update = async (db, rows) => {
    await db.raw('select pg_sleep(?)', [process.env.STAYS && !existsSync('killed-${column}') ? 1 : 0.05]);
    await db('ordered').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ ${column}: db.raw('?? + 1', ['${column}']) });
  };`;

const ordered = {
  '1-table.ts': `export const up = async (db) => {
    for (const statement of ${JSON.stringify(createOrdered)}) await db.raw(statement);
  };`,
  '2-a.ts': addTo('a'),
  '3-b.ts': addTo('b'),
  '4-c.ts': addTo('c'),
};

async function expectOrdered(client: pg.Client): Promise<void> {
  expect((await client.query('select * from early')).rows, 'ran before its turn').toEqual([]);
  const { rows } = await client.query(
    `select step, count(*)::int as writes, count(distinct id)::int as ids from written group by step order by step`,
  );
  expect(rows).toEqual(['a', 'b', 'c'].map((step) => ({ step, writes: 6000, ids: 6000 })));
  const sums = await client.query('select distinct a, b, c from ordered');
  expect(sums.rows).toEqual([{ a: 1, b: 1, c: 1 }]);
  const executed = await client.query('select name from umzug_cluster.migrations order by name');
  expect(executed.rows.map(({ name }) => name as string)).toEqual(['1-table', '2-a', '3-b', '4-c']);
}

it(
  'lets ten hosts begin at once on an empty database: all exit with 0, each row once, in order',
  async () => {
    for (let round = 0; round < (isLong ? 10 : 1); round += 1) {
      await withDatabase(async ({ url, client }) => {
        const hosts = Array.from({ length: 10 }, () =>
          start(['up', '--workers', '1', '--chunk-size', '100'], { cwd: makeProject(ordered).dir, url }),
        );
        for (const { code, stderr } of await Promise.all(hosts.map(({ outcome }) => outcome))) {
          expect(code, stderr).toBe(0);
        }
        await expectOrdered(client);
      });
    }
  },
  timeout,
);

it(
  'keeps the order of migrations on one host while the other is killed in each of them, again and again',
  async () => {
    await withDatabase(async ({ url, client }) => {
      const args = ['up', '--workers', '2', '--chunk-size', '50'];
      const { dir } = makeProject(ordered);
      const staying = start(args, { cwd: dir, url, env: { STAYS: '1' } });
      for (const name of ['2-a', '3-b', '4-c']) {
        const killed = start(args, { cwd: makeProject(ordered).dir, url });
        await until(`the host that is to be killed works on ${name}`, async () => {
          const sql = `select from umzug_cluster.ranges as p join umzug_cluster.runs as r on r.id = p.run_id
                       where r.name = $1 and p.state = 'open' and p.worker like $2`;
          if (killed.child.exitCode !== null)
            throw new Error(`it has ended: ${(await killed.outcome).stderr}`);
          const there = await client.query(`select to_regclass('umzug_cluster.ranges') is not null as there`);
          if (there.rows[0]?.there !== true) return false;
          return (await client.query(sql, [name, `%:${killed.pid}/%`])).rowCount;
        });
        killGroup(killed.pid);
        await killed.outcome;
        await until('it is gone', () => groupMembers(killed.pid).length === 0);
        mkdirSync(path.join(dir, `killed-${name.slice(2)}`));
      }
      const { code, stderr } = await staying.outcome;
      expect(code, stderr).toBe(0);
      await expectOrdered(client);
    });
  },
  timeout,
);
