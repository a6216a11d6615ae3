import { counted } from '../values/numbers.ts';
import { type PlanNode, nodesOf, sorts, wholeScans } from './query-plan.ts';

/** What a sample has shown, as far as it may be a reason to worry. */
export interface Observed {
  /** The table, without its schema, and its rows; null: not known. */
  readonly table: string;
  readonly tableRows: number | null;
  /** Columns that the search for rows goes by, of which the planner has no statistics. */
  readonly unanalyzed: readonly string[];
  readonly key: readonly string[];
  /** Rows that match; 0: none of those that were looked at; null: not known. */
  readonly matching: number | null;
  readonly largeTables: readonly string[];
  readonly sampledRows: number;
  /** The statements of a chunk; the first finds its rows. */
  readonly statements: readonly { readonly times: number; readonly plan: PlanNode | null }[];
  readonly changed: readonly string[];
  /** Rows that were written, in all tables, and updates of the table's rows: all, and those without index entries. */
  readonly written: number;
  /** Rows that updateRows was given and did not find. */
  readonly missing: number;
  readonly updated: number;
  readonly hot: number;
  readonly indexes: readonly string[];
  readonly triggers: readonly string[];
  readonly foreignKeys: readonly string[];
  readonly locks: readonly string[];
  readonly ownConnections: number;
  /** Columns that are not the same after two chunks as after one; empty: other rows are left; null: all is the same. */
  readonly parted: readonly string[] | null;
}

/** Reasons to think twice, in words. */
export function warningsOf(seen: Observed): readonly string[] {
  return [
    ...aboutHalves(seen),
    ...aboutReading(seen),
    ...aboutWriting(seen),
    ...seen.triggers.map((trigger) => `trigger ${trigger} fires in every chunk`),
    ...(seen.foreignKeys.length === 0
      ? []
      : [`foreign keys are checked for every row: ${seen.foreignKeys.join(', ')}`]),
    ...seen.locks.map((lock) => `update takes ${lock}: the application waits for every chunk`),
    ...(seen.ownConnections === 0
      ? []
      : [
          'the migration has a connection of its own to this server: what it writes there is not in the chunk’s transaction',
        ]),
  ];
}

function aboutHalves({ parted, table }: Observed): string[] {
  if (parted === null) return [];
  const what =
    parted.length === 0
      ? `rows that are left in "${table}"`
      : `${parted.length === 1 ? 'column' : 'columns'} ${parted.map((column) => `"${column}"`).join(', ')}`;
  return [
    `the same rows give another result in two chunks than in one: ${what}; select or update reads rows that update changes, or update counts within its chunk: see "Numbers and ranks" in docs/writing-migrations.md`,
  ];
}

// Where fewer rows than this match, most of what a chunk reads is thrown away.
const sparse = 0.01;

function aboutReading(seen: Observed): string[] {
  const { statements, table, tableRows, key, matching, largeTables, unanalyzed } = seen;
  const reading = statements[0]?.plan ?? null;
  const order = key.join(', ');
  const warnings: string[] = [];
  if (unanalyzed.length > 0) {
    const columns = unanalyzed.map((column) => `"${column}"`).join(', ');
    warnings.push(
      `"${table}" has no statistics of ${columns}, and the planner guesses how its rows are best found: run analyze first`,
    );
  }
  const scanned = statements.flatMap(({ plan }) => (plan === null ? [] : wholeScans(plan)));
  for (const name of new Set(scanned.map((scan) => scan.table))) {
    if (!largeTables.includes(name)) continue;
    warnings.push(
      name === table
        ? `every chunk reads all of "${name}": the planner finds no use for the index of its key (${order})`
        : `every chunk reads all of "${name}": an index on what is looked up in it is missing`,
    );
  }
  if (reading === null || !largeTables.includes(table)) return warnings;
  if (scanned.length === 0 && sorts(reading)) {
    warnings.push(
      `every chunk sorts all rows that match by the key (${order}), though it takes only the first: an index on (${order}) with the condition of select gives them in order`,
    );
  }
  const isFiltered = nodesOf(reading).some((node) => node.table === table && node.filters);
  if (tableRows === null || matching === null || unanalyzed.length > 0) return warnings;
  if (isFiltered && matching < tableRows * sparse) {
    const each =
      matching === 0 ? 'hardly any is found' : `about ${Math.round(tableRows / matching)} are read for each`;
    warnings.push(`few rows match, ${each}; an index on (${order}) with the condition of select spares that`);
  }
  return warnings;
}

// Fewer rows cannot tell a statement a row from a few statements.
const tellingRows = 5;

function aboutWriting(seen: Observed): string[] {
  const warnings: string[] = [];
  const [, ...others] = seen.statements;
  const sent = others.reduce((sum, { times }) => sum + times, 0);
  if (seen.sampledRows >= tellingRows && sent >= seen.sampledRows) {
    warnings.push(
      'update runs a statement for every row: updateRows writes a whole chunk in one, 10 to 50 times faster',
    );
  }
  if (seen.written === 0 && seen.changed.length === 0)
    warnings.push(
      `${counted(seen.sampledRows, 'row')} passed to update, 0 changed: it has written nothing in this database`,
    );
  if (seen.missing > 0)
    warnings.push(
      `updateRows did not find ${counted(seen.missing, 'row')} that it was given: compare the values of its key, or set allowMissing: true`,
    );
  if (seen.updated > seen.hot && seen.indexes.length > 0) {
    warnings.push(
      `every change makes new entries in all indexes of "${seen.table}" (no HOT update), since ${seen.indexes.join(', ')} ${seen.indexes.length === 1 ? 'holds' : 'hold'} a changed column`,
    );
  }
  return warnings;
}
