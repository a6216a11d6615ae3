import { counted } from '../../core/values/numbers.ts';
import { nodesOf, sorts, wholeScans } from '../../core/plan/query-plan.ts';
import type { Sample } from '../../run/dry-run/sample.ts';
import { isPartOf } from '../../run/analyze/side-effects.ts';
import { type BaseTable, isKeyless } from '../../migration/key/key.ts';

/** What a sample has shown, as far as it may be a reason to worry. */
export interface Observed extends Omit<Sample, 'isAll' | 'drains' | 'examples' | 'rate'> {
  readonly base: Pick<BaseTable, 'oid' | 'name' | 'key'>;
  /** Rows of the table; null: not known. */
  readonly tableRows: number | null;
  /** Rows that match; 0: none of those that were looked at; null: not known. */
  readonly matching: number | null;
}

/** Reasons to think twice, in words. */
export function warningsOf(seen: Observed): readonly string[] {
  return [
    ...aboutHalves(seen),
    ...aboutReading(seen),
    ...aboutWriting(seen),
    ...(seen.triggers.length === 0 ? [] : [`triggers fire in every chunk: ${seen.triggers.join(', ')}`]),
    ...(seen.foreignKeys.length === 0
      ? []
      : [`foreign keys are checked for every row: ${seen.foreignKeys.join(', ')}`]),
    ...seen.locks.map((lock) => `update takes ${lock}: the application waits for every chunk`),
    ...(seen.ownConnections === 0
      ? []
      : [
          'the migration has its own connection to this server: what it writes there is not part of the chunk’s transaction',
        ]),
  ];
}

function aboutHalves({ parted, base }: Observed): string[] {
  if (parted === null) return [];
  const what =
    parted.length === 0
      ? `rows that are left in "${base.name}"`
      : `${parted.length === 1 ? 'column' : 'columns'} ${parted.map((column) => `"${column}"`).join(', ')}`;
  return [
    `the same rows give a different result in two chunks than in one: ${what}; select or update reads rows that update changes, or update counts within its chunk: see "Numbers and ranks" in docs/writing-migrations.md`,
  ];
}

// Where fewer rows than this match, most of what a chunk reads is thrown away.
const sparse = 0.01;

function aboutReading(seen: Observed): string[] {
  const { statements, base, tableRows, matching, largeTables, unanalyzed } = seen;
  const table = base.name;
  const reading = statements[0]?.plan ?? null;
  const order = base.key.map(({ name }) => name).join(', ');
  const warnings: string[] = [];
  if (unanalyzed.length > 0) {
    const columns = unanalyzed.map((column) => `"${column}"`).join(', ');
    warnings.push(
      `"${table}" has no statistics on ${columns}, so the planner guesses how to find its rows: run analyze first`,
    );
  }
  const scanned = statements.flatMap(({ plan }) => (plan === null ? [] : wholeScans(plan)));
  for (const name of new Set(scanned.map((scan) => scan.table))) {
    if (!largeTables.includes(name)) continue;
    warnings.push(
      name === table && !isKeyless(base)
        ? `every chunk reads all of "${name}": the planner does not use the index on its key (${order})`
        : `every chunk reads all of "${name}": it lacks an index on the columns it is searched by`,
    );
  }
  // Without a key there is no index that could give rows in their order.
  if (reading === null || isKeyless(base) || !largeTables.includes(table)) return warnings;
  if (scanned.length === 0 && sorts(reading)) {
    warnings.push(
      `every chunk sorts all matching rows by the key (${order}) only to take the first ones: an index on (${order}) with the condition of select returns them in order`,
    );
  }
  const isFiltered = nodesOf(reading).some((node) => node.table === table && node.filters);
  if (tableRows === null || matching === null || unanalyzed.length > 0) return warnings;
  if (isFiltered && matching < tableRows * sparse) {
    const each =
      matching === 0 ? 'almost none is found' : `about ${Math.round(tableRows / matching)} are read for each`;
    warnings.push(`few rows match, ${each}; an index on (${order}) with the condition of select avoids that`);
  }
  return warnings;
}

// Fewer rows cannot tell a statement a row from a few statements.
const tellingRows = 5;

function aboutWriting(seen: Observed): string[] {
  const warnings: string[] = [];
  const [, ...others] = seen.statements;
  const sent = others.reduce((sum, { times }) => sum + times, 0);
  if (seen.rows >= tellingRows && sent >= seen.rows) {
    warnings.push(
      'update runs a statement for every row: updateRows writes a whole chunk in one, 10 to 50 times faster',
    );
  }
  if (seen.writes.length === 0 && seen.changed.length === 0)
    warnings.push(
      `${counted(seen.rows, 'row')} passed to update, 0 changed: it wrote nothing in this database`,
    );
  if (seen.missing > 0)
    warnings.push(
      `updateRows or deleteRows did not find ${counted(seen.missing, 'row')} it was given: check the values of its key, or set allowMissing: true`,
    );
  const own = seen.writes.filter((one) => isPartOf(one, seen.base));
  if (own.some(({ updated, hot }) => updated > hot) && seen.indexes.length > 0) {
    warnings.push(
      `every change adds entries to all indexes of "${seen.base.name}" (no HOT update), since ${seen.indexes.join(', ')} ${seen.indexes.length === 1 ? 'holds' : 'hold'} a changed column`,
    );
  }
  return warnings;
}
