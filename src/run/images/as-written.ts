import { counted } from '../../core/values/numbers.ts';
import { tooLarge } from '../../migration/handle/mistakes.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder, valuesPinned, valuesUnpinned } from '../../postgres/transaction.ts';

/** Runs a statement under the settings in which values are written as text. Those of the author come back with it. */
export async function asWritten(
  session: Session,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const [, { rows }] = await inOrder([
    session.query(valuesPinned),
    session.query(text, values),
    session.query(valuesUnpinned),
  ]);
  return rows;
}

/** The refusal of rows that hold more than can be kept; null where a single one is to be kept, or they do not. */
export function overLimit(
  name: string,
  { rows, bytes }: Readonly<Record<string, unknown>>,
  maxBytes: number,
): Error | null {
  if (Number(rows) < 2 || Number(bytes) <= maxBytes) return null;
  return tooLarge(
    name,
    `the rows of a chunk hold ${counted(Number(bytes), 'byte')} that undo has to keep, more than maxBytes`,
  );
}
