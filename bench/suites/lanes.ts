import { type Bench, upContestant } from '../context.ts';
import { type Contestant, compare } from '../compare.ts';
import { table } from '../report.ts';
import type { BenchServer } from '../server.ts';
import { startSlowServer } from '../slow-reads/index.ts';
import { createOriginal } from '../table.ts';

const byFeedback = 'lanes by feedback';
const fixed = [1, 2, 4, 8];

/** Fixed numbers of lanes beside the one that feedback finds, in one process: where reads are slow, and where not. */
export async function lanesSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const slow = await startSlowServer();
  const places = [
    ['100 µs more a page read, next to no cache', slow],
    ['all in the cache', server],
  ] as const;
  const sections: string[] = [];
  try {
    for (const [place, where] of places) {
      for (const count of rows) {
        await createOriginal(where.client, { ...shape, rows: count });
        const timings = await compare(await contestants(where), rounds, say);
        sections.push(`### ${count.toLocaleString('en')} rows, ${place}\n\n${table(timings, [byFeedback])}`);
      }
    }
  } finally {
    await slow.remove();
  }
  return sections.join('\n\n');
}

async function contestants(where: BenchServer): Promise<Contestant[]> {
  const flags = ['--workers', '1'];
  const all = [await upContestant(where, byFeedback, { style: 'rows', flags })];
  for (const lanes of fixed) {
    const env = { UMZUG_CLUSTER_LANES: String(lanes) };
    all.push(await upContestant(where, `${lanes} lanes`, { style: 'rows', flags, env }));
  }
  return all;
}
