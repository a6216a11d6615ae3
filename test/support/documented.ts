import { readFileSync } from 'node:fs';
import path from 'node:path';

const file = path.join(import.meta.dirname, '../../docs/tables-and-queries.md');

/** The rows of the table under a heading of docs/tables-and-queries.md; the first column is code. */
export function documented(heading: string): readonly (readonly string[])[] {
  const [, section = ''] = readFileSync(file, 'utf8').split(`## ${heading}\n`);
  const lines = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  if (lines.length < 5) throw new Error(`docs/tables-and-queries.md has no table under "${heading}"`);
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) =>
        cell
          .trim()
          .replace(/^`(.*)`$/, '$1')
          .replaceAll('\\|', '|'),
      ),
  );
}
