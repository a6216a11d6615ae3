import path from 'node:path';
import { compare, runProgram } from '../compare.ts';
import { type Bench, onTable, upContestant } from '../context.ts';
import { table } from '../report.ts';
import { rivalsFolder } from '../rivals.ts';
import { createOriginal } from '../table.ts';

/** Job queues with one job a chunk, as their manuals say, beside the product. */
export async function queuesSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const folder = await rivalsFolder(say);
  const queue = (name: string): ReturnType<typeof onTable> => {
    const contestant = onTable(server, `(h) ${name}`, async () => {
      await runProgram(process.execPath, [path.join(folder, `${name}.mjs`)], {
        cwd: folder,
        env: { DATABASE_URL: server.url },
      });
    });
    const prepare = async (): Promise<void> => {
      await server.client.query('drop schema if exists pgboss, graphile_worker cascade');
      await contestant.prepare();
    };
    return { ...contestant, prepare };
  };
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    const timings = await compare(
      [
        queue('pg-boss'),
        queue('graphile-worker'),
        await upContestant(server, '(e) up, by rows', { style: 'rows' }),
      ],
      rounds,
      say,
    );
    sections.push(`### ${count.toLocaleString('en')} rows\n\n${table(timings, ['(e) up, by rows'])}`);
  }
  return sections.join('\n\n');
}
