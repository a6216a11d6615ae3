import type pg from 'pg';
import { expect, it } from 'vitest';
import { killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { createKeyed, keyTypes, prepareKeyTypes } from '../support/key-types.ts';
import { makeProject } from '../support/project.ts';
import { visitAll, visitingSource, visits } from '../support/visits.ts';

// FAULTS_LONG=1: each key both by rows and by sets, not by turns.
const isLong = process.env['FAULTS_LONG'] === '1';
const rows = 130;
const kills = 3;

it('visits every row once up and once down, whatever the type of its key, though up is killed in between', async () => {
  await withDatabase(async ({ url, client, name }) => {
    const missing = await prepareKeyTypes(client, name);
    const types = keyTypes.filter(({ extension = '' }) => !missing.includes(extension));
    if (missing.length > 0) console.warn(`not tried: this server has no extension ${missing.join()}`);
    const files: Record<string, string> = {};
    const tables: string[] = [];
    for (const [index, type] of types.entries()) {
      for (const style of isLong
        ? (['rows', 'sets'] as const)
        : ([index % 2 === 0 ? 'rows' : 'sets'] as const)) {
        const table = `t${index}_${style}`;
        await client.query(createKeyed(`app.${table}`, [{ type, name: 'k', distinct: rows }], rows));
        files[`${100 + tables.length}.ts`] = visitingSource({ table, written: table, style, chunkSize: 50 });
        tables.push(table);
      }
    }
    const place = { cwd: makeProject(files).dir, url };
    for (let kill = 1; kill <= kills; kill += 1) {
      const up = start(['up', '--workers', '2'], place);
      // long before the last table, since the next one may be done before it is seen
      const enough = (tables.length * kill) / (kills + 2);
      await until('a run is in progress', () => inProgressAfter(client, enough));
      killGroup(up.pid);
      await up.outcome;
    }
    const { code, stderr } = await run(['up', '--workers', '2'], place);
    expect(code, stderr).toBe(0);
    for (const [index, table] of tables.entries()) {
      const { what } = types[isLong ? Math.floor(index / 2) : index] ?? { what: '' };
      expect(Object.keys(await visits(client, `app.${table}`)), what).toEqual(['1']);
    }
    const down = await run(['down', '--to', '0', '--workers', '2'], place);
    expect(down.code, down.stderr).toBe(0);
    for (const table of tables) {
      expect(Object.keys(await visits(client, `app.${table}`)), table).toEqual(['11']);
    }
  });
});

/** Whether a run is in progress and so many before it are done, or it must have been missed, since more are done. */
async function inProgressAfter(client: pg.Client, executed: number): Promise<boolean> {
  if ((await rowsDone(client)) === 0) return false;
  const { rows: found } = await client.query<{ ripe: boolean }>(
    `select done > $1::float8 + 2
         or done > $1::float8 and exists (select from umzug_cluster.runs where state = 'running') as ripe
     from (select count(*) as done from umzug_cluster.migrations) as executed`,
    [executed],
  );
  return found[0]?.ripe === true;
}

it.each([
  ['one row', 1, 'true', 1],
  ['no row', 0, 'true', 0],
  ['no row that matches', 500, 'no > 500', 0],
  ['some rows that match', 500, 'no % 10 = 3', 50],
])('visits the rows of a table of %s', async (_title, count, where, visited) => {
  await withDatabase(async ({ url, client }) => {
    for (const style of ['rows', 'sets'] as const) {
      await client.query(`
        create table ${style} (k bigint primary key, no int not null, n int not null default 0);
        insert into ${style} (k, no) select no, no from generate_series(1, ${count}) as no`);
      expect(await visitAll(url, { table: style, written: style, style, where })).toBe(visited);
      const { rows: found } = await client.query(
        `select count(*) filter (where n = 1 and ${where})::int as once, count(*) filter (where n > 0)::int as all from ${style}`,
      );
      expect(found).toEqual([{ once: visited, all: visited }]);
    }
  });
});
