import { performance } from 'node:perf_hooks';
import { runProgram } from '../compare.ts';
import { type Bench, productCli } from '../context.ts';
import { watchMemory } from '../memory.ts';
import { type Style, makeBenchProject, migrationSource } from '../project.ts';
import { markdown, ms } from '../report.ts';
import { createOriginal, requireChanged, resetTable } from '../table.ts';

const styles: readonly Style[] = ['rows', 'set', 'values'];

/** What a run costs as the table grows: time, and the most memory that any of its processes had. */
export async function growthSuite({ server, rows, shape, say }: Bench): Promise<string> {
  const lines: string[][] = [];
  const before = new Map<Style, { readonly count: number; readonly took: number }>();
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    for (const style of styles) {
      await resetTable(server.client);
      const { took, peak, processes } = await measured(server.url, style);
      await requireChanged(server.client, style);
      say(`${count} rows, ${style}: ${ms(took)} ms, ${ms(peak)} MB`);
      const last = before.get(style);
      const growth = last === undefined ? '' : (took / last.took / (count / last.count)).toFixed(2);
      before.set(style, { count, took });
      lines.push([count.toLocaleString('en'), style, ms(took), growth, String(processes), ms(peak)]);
    }
  }
  const head = ['rows', 'style', 'ms', 'time a row ÷ that of the line before', 'processes', 'peak MB of any'];
  return markdown([head, ...lines]);
}

async function measured(
  url: string,
  style: Style,
): Promise<{ readonly took: number; readonly peak: number; readonly processes: number }> {
  const cwd = await makeBenchProject({ 'change.ts': migrationSource(style) });
  const startedAt = performance.now();
  let watch: ReturnType<typeof watchMemory> | null = null;
  await runProgram(process.execPath, [productCli, 'up'], {
    cwd,
    env: { DATABASE_URL: url, CI: '1' },
    onStart: (pid) => (watch = watchMemory(pid)),
  });
  const took = performance.now() - startedAt;
  const peaks = [...((watch as ReturnType<typeof watchMemory> | null)?.stop().values() ?? [])];
  return { took, peak: Math.max(...peaks), processes: peaks.length };
}
