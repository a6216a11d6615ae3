import path from 'node:path';
import { type Contestant, compare, runProgram } from '../compare.ts';
import { type Bench, productCli } from '../context.ts';
import { makeBenchProject } from '../project.ts';
import { table } from '../report.ts';
import type { BenchServer } from '../server.ts';
import { resetTable } from '../table.ts';

// Of each contestant's transactions: so many rows of the table lie between its ends.
const chunkKeys = 10_000;
// Of the rows, spread over all of the table.
const oldShare = 0.3;

const purge = `import { setBased } from 'umzug-cluster';
export const options = { allowDelete: true };
export const select = (db) => db('events').where('created_at', '<', '2026-01-01T00:00:00Z');
export const update = setBased((chunk) => chunk.delete());
`;

/** Old rows are deleted: by ranges of the key in one session and in two, and by `up`. */
export async function purgeSuite({ server, rounds, rows, say }: Bench): Promise<string> {
  const count = Math.max(...rows);
  await server.client.query(`
    drop table if exists events, original;
    create table original (id bigint primary key, created_at timestamptz not null, kind text not null, data jsonb not null);
    insert into original
      select n, case when n % 10 < ${oldShare * 10} then timestamptz '2025-06-01' else timestamptz '2026-06-01' end
          + n * interval '1 second', 'kind ' || n % 7, jsonb_build_object('n', n, 'text', md5(n::text))
      from generate_series(1::bigint, ${count}) as n`);
  const half = Math.ceil(count / 2);
  const cwd = await makeBenchProject({ 'purge.ts': purge });
  const env = { DATABASE_URL: server.url, CI: '1' };
  const up =
    (...flags: readonly string[]) =>
    async (): Promise<void> => {
      await runProgram(process.execPath, [productCli, 'up', ...flags], { cwd, env });
    };
  const contestants = [
    onEvents(server, '(a) DELETE by ranges, one session', () => byRanges(server, [[0, count]])),
    onEvents(server, '(b) DELETE by ranges, two sessions', () =>
      byRanges(server, [
        [0, half],
        [half, count],
      ]),
    ),
    onEvents(server, '(c) up, same chunks', up('--chunk-size', String(chunkKeys))),
    onEvents(server, '(d) up', up()),
  ];
  const timings = await compare(contestants, rounds, say);
  const against = contestants.slice(0, 2).map(({ name }) => name);
  return `### ${(count * oldShare).toLocaleString('en')} of ${count.toLocaleString('en')} rows\n\n${table(timings, against)}`;
}

async function byRanges(server: BenchServer, parts: readonly (readonly [number, number])[]): Promise<void> {
  const script = path.join(import.meta.dirname, '..', 'scripts', 'delete-ranges.mjs');
  await Promise.all(
    parts.map(([above, upTo]) =>
      runProgram(process.execPath, [script, String(above), String(upTo), String(chunkKeys)], {
        env: { DATABASE_URL: server.url },
      }),
    ),
  );
}

/** A contestant that gets a fresh copy of the table, and has to delete all old rows and no other. */
function onEvents({ client }: BenchServer, name: string, run: () => Promise<void>): Contestant {
  return {
    name,
    run,
    prepare: () => resetTable(client, 'events'),
    check: async () => {
      const { rows } = await client.query<{ old: string; gone: string }>(`
        select count(*) filter (where created_at < '2026-01-01T00:00:00Z') as old,
          (select count(*) from original where created_at >= '2026-01-01T00:00:00Z') - count(*) as gone from events`);
      if (rows[0]?.old !== '0' || rows[0].gone !== '0')
        throw new Error(`${name}: ${JSON.stringify(rows[0])}`);
    },
  };
}
