import { stripControls, withoutSecrets } from '../../core/errors/redact.ts';
import { pasteable } from '../../core/values/invocation.ts';

/** What the process of a command gives it: the real one's, or a test's own. */
export interface Io {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where answers come from; without it nobody is asked. */
  readonly stdin?: NodeJS.ReadStream;
  readonly stdout: Out;
  readonly stderr: Out;
}

/** Where text goes; a terminal has a size that may change. */
export interface Out extends Screen {
  readonly isTTY?: boolean | undefined;
  readonly fd?: number | undefined;
}

/** What can be drawn on. */
export interface Screen {
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/** Writes one line of data to stdout. Names come from a folder or a database: no control characters. */
export function printLine({ stdout }: Pick<Io, 'stdout'>, text: string): void {
  stdout.write(`${pasteable(stripControls(withoutSecrets(text)))}\n`);
}

/** Writes the one JSON document of a command to stdout. */
export function printJson({ stdout }: Pick<Io, 'stdout'>, value: unknown): void {
  stdout.write(asJson(value));
}

/** The one JSON document of a command, as it is written. */
export function asJson(value: unknown): string {
  return `${pasteable(withoutSecrets(JSON.stringify(value, null, 2)))}\n`;
}

/** Writes a remark for a person to stderr. */
export function printNote({ stderr }: Pick<Io, 'stderr'>, text: string): void {
  stderr.write(`${pasteable(stripControls(withoutSecrets(text)))}\n`);
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
