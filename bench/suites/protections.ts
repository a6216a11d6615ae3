import { copyProduct } from '../../test/support/product-copy.ts';
import { type Contestant, type Timing, compare, quantile } from '../compare.ts';
import { type Bench, upContestant } from '../context.ts';
import { cpuMs } from '../cpu-time.ts';
import { protections } from '../protections.ts';
import { markdown, ms } from '../report.ts';
import type { BenchServer } from '../server.ts';
import { createOriginal, resetTable } from '../table.ts';

const product = 'all protections';
const start = 'the start alone';

// One process: whether a second one pays is a matter of chance where the run is short, and of as much as all this.
const flags = ['--workers', '1'];

/**
 * What each protection costs: the product against copies of it that leave one out, as a share of what the chunks
 * take. So what a command takes that has one row to change is taken off both.
 */
export async function protectionsSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    for (const style of ['rows', 'set'] as const) {
      const contestants: Contestant[] = [
        await upContestant(server, product, { style, flags }),
        oneRow(server, await upContestant(server, start, { style, flags })),
      ];
      const copies = protections
        .filter(({ styles }) => styles.includes(style))
        .map(({ name, without }) => ({ name, ...copyProduct(without) }));
      for (const { name, cli } of copies) {
        contestants.push(await upContestant(server, `without ${name}`, { style, flags, cli }));
      }
      const cpu = contestants.map((): number[] => []);
      const watched = contestants.map((one, place) => watchCpu(server, one, cpu[place] ?? []));
      const timings = await compare(watched, rounds, say);
      for (const { remove } of copies) remove();
      const cpuTimings = timings.map(({ name }, place) => ({ name, times: cpu[place] ?? [] }));
      sections.push(
        `### ${count.toLocaleString('en')} rows, by ${style}\n\n${shares({ time: timings, CPU: cpuTimings })}`,
      );
    }
  }
  return sections.join('\n\n');
}

/** The same on a table of one row. */
function oneRow({ client }: BenchServer, contestant: Contestant): Contestant {
  const prepare = async (): Promise<void> => {
    await resetTable(client);
    await client.query('truncate properties; insert into properties select * from original limit 1');
    await client.query('vacuum (freeze, analyze) properties');
  };
  return { ...contestant, prepare };
}

/** The same, with the CPU time of command and server written down. */
function watchCpu({ client }: BenchServer, contestant: Contestant, into: number[]): Contestant {
  let before = 0;
  return {
    ...contestant,
    prepare: async () => {
      await contestant.prepare();
      // which would come to some of the turns
      await client.query('alter table properties set (autovacuum_enabled = off)');
      before = await cpuMs(client);
    },
    check: async () => {
      into.push((await cpuMs(client)) - before);
      await contestant.check();
    },
  };
}

/** A Markdown table: the medians, and the cost of what is left out as a share of what chunks take with all of it. */
function shares(measured: Readonly<Record<string, readonly Timing[]>>): string {
  const head = Object.keys(measured).flatMap((what) => [`${what}, median ms`, `cost, share of the ${what}`]);
  const names = Object.values(measured)[0]?.map(({ name }) => name) ?? [];
  const body = names.map((name) => [
    name,
    ...Object.values(measured).flatMap((timings) => {
      const of = (wanted: string): readonly number[] =>
        timings.find((timing) => timing.name === wanted)?.times ?? [];
      const alone = quantile(of(start), 0.5);
      const costs = of(name).map((took, round) => {
        const whole = of(product)[round] ?? Number.NaN;
        return (100 * (whole - took)) / (whole - alone);
      });
      const [low, median, high] = [0.25, 0.5, 0.75].map((p) => `${quantile(costs, p).toFixed(1)} %`);
      const isCopy = name !== product && name !== start;
      return [ms(quantile(of(name), 0.5)), isCopy ? `${median} (${low} to ${high})` : ''];
    }),
  ]);
  return markdown([['', ...head], ...body]);
}
