import { type Contestant, compare } from '../compare.ts';
import { type Bench, upContestant } from '../context.ts';
import { copyProduct } from '../../test/support/product-copy.ts';
import { protections } from '../protections.ts';
import { table } from '../report.ts';
import { createOriginal } from '../table.ts';

/** What each protection costs: the product against copies of it that leave one out. */
export async function protectionsSuite({ server, rounds, rows, shape, say }: Bench): Promise<string> {
  const sections: string[] = [];
  for (const count of rows) {
    await createOriginal(server.client, { ...shape, rows: count });
    for (const style of ['rows', 'set'] as const) {
      const contestants: Contestant[] = [await upContestant(server, 'all protections', { style })];
      const copies = [];
      for (const { name, without } of protections) {
        const copy = copyProduct(without);
        copies.push(copy);
        contestants.push(await upContestant(server, `without ${name}`, { style, cli: copy.cli }));
      }
      const timings = await compare(contestants, rounds, say);
      for (const copy of copies) copy.remove();
      sections.push(
        `### ${count.toLocaleString('en')} rows, by ${style}\n\n${table(timings, ['all protections'])}`,
      );
    }
  }
  return sections.join('\n\n');
}
