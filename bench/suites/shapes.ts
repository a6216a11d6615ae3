import os from 'node:os';
import path from 'node:path';
import { type Contestant, compare, runProgram } from '../compare.ts';
import { type Bench, onTable, upContestant } from '../context.ts';
import { table } from '../report.ts';
import { type Shape, createOriginal } from '../table.ts';
import type { BenchServer } from '../server.ts';

const oneByOneUpTo = 62_000;
const change = `update properties set property_date_type = 'date-given' where property_date_type = 'dated'`;

function script(server: BenchServer, name: string, file: string): Contestant {
  const args = [path.join(import.meta.dirname, '..', 'scripts', file)];
  return onTable(server, name, async () => {
    await runProgram(process.execPath, args, { env: { DATABASE_URL: server.url } });
  });
}

function psql(server: BenchServer, name: string, statements: readonly string[]): Contestant {
  return onTable(server, name, async () => {
    await Promise.all(
      statements.map((sql) =>
        runProgram('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', sql, server.url]),
      ),
    );
  });
}

/** One UPDATE for each core, over equal parts of the keys: the practical limit. */
function parts(key: Shape['key'], rows: number): string[] {
  const cores = os.availableParallelism();
  const uuid = (share: number): string =>
    `'${Math.min(Math.floor(share * 2 ** 32), 2 ** 32 - 1)
      .toString(16)
      .padStart(8, '0')}-0000-0000-0000-000000000000'`;
  const bound = (n: number): string =>
    key === 'uuid' ? uuid(n / cores) : String(Math.floor((n * rows) / cores) + 1);
  return Array.from({ length: cores }, (_, n) => {
    const above = `id >= ${bound(n)}`;
    return n === cores - 1 ? `${change} and ${above}` : `${change} and ${above} and id < ${bound(n + 1)}`;
  });
}

/** The ways to change a whole table, side by side: by hand, in psql, with umzug-cluster. */
export async function shapesSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    const contestants = [
      ...(count <= oneByOneUpTo
        ? [
            script(server, '(a) one by one', 'one-by-one.mjs'),
            script(server, '(b) split over workers', 'static-split.mjs'),
          ]
        : []),
      psql(server, '(c) one UPDATE', [change]),
      psql(server, '(d) one UPDATE a core', parts(shape.key, count)),
      await upContestant(server, '(e) up, by rows', { style: 'rows' }),
      await upContestant(server, '(f) up, by sets', { style: 'set' }),
      await upContestant(server, '(g) up, updateRows', { style: 'values' }),
    ];
    const timings = await compare(contestants, rounds, say);
    const against = contestants.slice(0, -3).map(({ name }) => name);
    sections.push(
      `### ${count.toLocaleString('en')} rows\n\n${table(timings, [...against, '(e) up, by rows'])}`,
    );
  }
  return sections.join('\n\n');
}
