import { type Contestant, compare, runProgram } from '../compare.ts';
import { type Bench, onTable, productCli } from '../context.ts';
import { type Style, makeBenchProject, migrationSource } from '../project.ts';
import { table } from '../report.ts';
import type { BenchServer } from '../server.ts';
import { createOriginal } from '../table.ts';

// One process: whether a second one pays is a matter of chance where the run is short.
const flags = ['--workers', '1'];

const styles: readonly Style[] = ['rows', 'values', 'set'];

/** What `options.undo` costs: the same migration with it and without, and the room that a row's images take. */
export async function undoSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    for (const style of styles) {
      const sizes: number[] = [];
      const without = await migrating(server, 'without undo', migrationSource(style));
      const source = `${migrationSource(style)}export const options = { undo: true };\n`;
      const undo = withImages(server, await migrating(server, 'with undo', source), { count, sizes });
      const timings = await compare([without, undo], rounds, say);
      const size = Math.round(Math.max(...sizes) / count);
      sections.push(
        `### ${count.toLocaleString('en')} rows, by ${style}: ${size} bytes a row\n\n${table(timings, [without.name])}`,
      );
    }
  }
  return sections.join('\n\n');
}

async function migrating(server: BenchServer, name: string, source: string): Promise<Contestant> {
  const cwd = await makeBenchProject({ 'change.ts': source });
  const env = { DATABASE_URL: server.url, CI: '1' };
  return onTable(server, name, async () => {
    await runProgram(process.execPath, [productCli, 'up', ...flags], { cwd, env });
  });
}

/** The same, which has to have an image of each row. */
function withImages(
  { client }: BenchServer,
  contestant: Contestant,
  { count, sizes }: { readonly count: number; readonly sizes: number[] },
): Contestant {
  return {
    ...contestant,
    check: async () => {
      await contestant.check();
      const { rows } = await client.query<{ images: string; bytes: string }>(`
        select (select count(*) from umzug_cluster.images) as images, sum(pg_total_relation_size(inhrelid)) as bytes
        from pg_inherits where inhparent = 'umzug_cluster.images'::regclass`);
      const [{ images, bytes } = { images: '0', bytes: '0' }] = rows;
      if (Number(images) !== count) throw new Error(`${contestant.name} has kept ${images} images`);
      sizes.push(Number(bytes));
    },
  };
}
