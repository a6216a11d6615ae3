import { stripControls } from '../core/redact.ts';

/** Writes one line of data to stdout. Names come from a folder or a database: no control characters. */
export function printLine(text: string): void {
  process.stdout.write(`${stripControls(text)}\n`);
}

/** Writes the one JSON document of a command to stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(asJson(value));
}

/** The one JSON document of a command, as it is written. */
export function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Writes a remark for a person to stderr. */
export function printNote(text: string): void {
  process.stderr.write(`${stripControls(text)}\n`);
}

/** Rows of cells as lines, columns padded to their widest cell; numbers (see `right`) to the right. */
export function table(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, index) => {
        const width = widths[index] ?? 0;
        return right.includes(index) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
