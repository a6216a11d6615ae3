import path from 'node:path';
import { compare, runProgram } from '../compare.ts';
import { type Bench, onTable, upContestant } from '../context.ts';
import { table } from '../report.ts';
import { createOriginal } from '../table.ts';

const rows = 1_000;

/** What a start costs: so few rows that hardly anything else is left. */
export async function startSuite({ server, rounds, shape, say }: Bench): Promise<string> {
  await createOriginal(server.client, { ...shape, rows });
  const smallest = '(k) the smallest knex script';
  const args = [path.join(import.meta.dirname, '..', 'scripts', 'smallest-knex.mjs')];
  const contestants = [
    onTable(server, smallest, async () => {
      await runProgram(process.execPath, args, { env: { DATABASE_URL: server.url } });
    }),
    await upContestant(server, '(e) up, by rows', { style: 'rows' }),
    await upContestant(server, '(f) up, by sets', { style: 'set' }),
  ];
  return table(await compare(contestants, rounds, say), [smallest]);
}
