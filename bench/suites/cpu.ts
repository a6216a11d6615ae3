import os from 'node:os';
import { type Bench, upContestant } from '../context.ts';
import { compare } from '../compare.ts';
import { table } from '../report.ts';
import { createOriginal } from '../table.ts';

/** A transformation that takes about 100 µs of JavaScript a row, with one process and with one for each core. */
export async function cpuSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const cores = os.availableParallelism();
  const [one, all] = ['(i) up, one process', `(i) up, ${cores} processes`];
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    const contestants = [
      await upContestant(server, one, { style: 'cpu', flags: ['--workers', '1'] }),
      await upContestant(server, all, { style: 'cpu', flags: ['--workers', String(cores)] }),
    ];
    const timings = await compare(contestants, rounds, say);
    sections.push(`### ${count.toLocaleString('en')} rows\n\n${table(timings, [all])}`);
  }
  return sections.join('\n\n');
}
