/** Where a ledger is: in a schema of its own, or beside a tenant's tables, where its names have a prefix. */
export interface LedgerPlace {
  readonly schema: string;
  /** Before each of its names; empty in a schema of its own. */
  readonly prefix: string;
}

// No table of an application begins like this.
const prefix = 'umzug_cluster_';

/**
 * The ledger of a tenant, in the tenant's own schema: it is dropped, dumped, restored and renamed with the rows that it
 * is about. As one text, in which the blank, that no schema of a ledger may have, is the end of the schema.
 */
export function ledgerBeside(schema: string): string {
  return `${schema} ${prefix}`;
}

/** Takes a ledger's text apart: that of `ledgerBeside`, or the name of a schema. */
export function placeOfLedger(ledger: string): LedgerPlace {
  const [schema = '', behind = ''] = ledger.split(' ');
  return { schema, prefix: behind };
}
