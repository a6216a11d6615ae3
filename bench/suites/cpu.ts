import os from 'node:os';
import { type Bench, upContestant } from '../context.ts';
import { type Contestant, compare, runProgram } from '../compare.ts';
import { transformation } from '../project.ts';
import { table } from '../report.ts';
import { createOriginal } from '../table.ts';

/**
 * A transformation that takes about 100 µs of JavaScript a row, with one process and with one for each core; and the
 * same JavaScript alone, without a database, which shows what these cores can do at best.
 */
export async function cpuSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const cores = os.availableParallelism();
  const [one, all] = ['(i) up, one process', `(i) up, ${cores} processes`];
  const alone = `its JavaScript alone, ${cores} processes`;
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    const contestants = [
      await upContestant(server, one, { style: 'cpu', flags: ['--workers', '1'] }),
      await upContestant(server, all, { style: 'cpu', flags: ['--workers', String(cores)] }),
      javascript('its JavaScript alone, one process', count, 1),
      javascript(alone, count, cores),
    ];
    const timings = await compare(contestants, rounds, say);
    sections.push(`### ${count.toLocaleString('en')} rows\n\n${table(timings, [all, alone])}`);
  }
  return sections.join('\n\n');
}

/** The transformation of so many rows, over so many processes at once. */
function javascript(name: string, rows: number, processes: number): Contestant {
  const text = `
    const transform = (id) => {${transformation}
    };
    const ids = Array.from({ length: ${Math.ceil(rows / processes)} }, (_, n) => String(n));
    if (ids.map(transform).length === 0) process.exit(1);`;
  const run = async (): Promise<void> => {
    const each = Array.from({ length: processes }, () => runProgram(process.execPath, ['-e', text]));
    await Promise.all(each);
  };
  return { name, prepare: async () => {}, run, check: async () => {} };
}
