import os from 'node:os';
import { type Timing, quantile, ratio } from './compare.ts';

/** The machine in a line, for the reader of the figures. */
export function machine(server: string): string {
  const cpus = os.cpus();
  const memory = Math.round(os.totalmem() / 2 ** 30);
  return `${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown'}, ${memory} GB, Node ${process.version}, Postgres ${server}`;
}

/** A number of milliseconds, or of anything else, without fractions. */
export const ms = (value: number): string => Math.round(value).toLocaleString('en');

/** A Markdown table: median time, middle half of the rounds, and the ratio to each contestant of `against`. */
export function table(timings: readonly Timing[], against: readonly string[]): string {
  const others = against.flatMap((name) => timings.filter((timing) => timing.name === name));
  const head = ['', 'median ms', 'middle half', ...others.map(({ name }) => `time ÷ ${name}`)];
  const body = timings.map((timing) => {
    const { times } = timing;
    const half = `${ms(quantile(times, 0.25))}–${ms(quantile(times, 0.75))}`;
    const ratios = others.map((other) => {
      const { median, low, high } = ratio(timing, other);
      return `${median.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
    });
    return [timing.name, ms(quantile(times, 0.5)), half, ...ratios];
  });
  return markdown([head, ...body]);
}

/** A Markdown table of these cells, the first row its head. */
export function markdown([head = [], ...body]: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`);
  return lines.join('\n');
}
