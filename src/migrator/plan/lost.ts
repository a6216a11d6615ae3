import { readFileSync } from 'node:fs';
import type { StoredValues } from '../../ledger/forgetting.ts';
import { findLedger } from '../../ledger/ledger.ts';
import type { Session } from '../../postgres/session.ts';
import { reading } from '../../postgres/transaction.ts';

/** Columns of which values are stored, that are there or gone; none where there is no ledger. */
export async function storedColumns(
  session: Session,
  ledgerSchema: string,
  which: 'present' | 'gone',
): Promise<readonly StoredValues[]> {
  return await reading(
    session,
    async () => (await findLedger(session, ledgerSchema))?.forgetting.columns(which) ?? [],
  );
}

/** `"state" of public.orders, of which 2025-a has stored values` */
export function describeStored({ migration, table, column }: StoredValues): string {
  return `"${column}" of ${table}, of which ${migration} has stored values`;
}

/**
 * Those of these columns that a schema migration seems to drop, by the words in its file: what it does is not known before
 * it is run.
 */
export function seemDropped(path: string, stored: readonly StoredValues[]): readonly StoredValues[] {
  const text = readFileSync(path, 'utf8');
  if (!/\bdrop/i.test(text)) return [];
  const has = (name: string): boolean =>
    new RegExp(`(?<![\\w$])${name.replaceAll(/\W/g, '\\$&')}(?![\\w$])`, 'i').test(text);
  return stored.filter(({ table, column }) => {
    const isTable = has(table.slice(table.indexOf('.') + 1));
    return isTable && (has(column) || /\bdrop\s*table/i.test(text));
  });
}
