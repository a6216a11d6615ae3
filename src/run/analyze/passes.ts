import type { Survey } from '../../core/size/survey.ts';
import { fail } from '../../errors.ts';
import type { Passes } from '../../ledger/run/rows.ts';
import { type BaseTable, isKeyless } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import type { DataMigration, Step } from '../context/step.ts';
import { whyBlockOrderPays } from './block-order.ts';

// Rows of 160 bytes: where none was drawn, the first chunks find out.
const usualRowsPerBlock = 50;

interface Planned {
  readonly shape: SelectShape;
  readonly base: BaseTable;
}

/**
 * How a run goes over the table: as the options of its migration say, and else in the order that pays. Refuses what
 * cannot be visited as the options say.
 */
export async function passesOf(
  session: Session,
  migration: DataMigration,
  step: Step,
  { planned, survey }: { readonly planned: Planned; readonly survey: Survey | undefined },
): Promise<Passes> {
  const { sweep = false, order = 'auto' } = migration.options;
  if (isKeyless(planned.base)) {
    refuseOfKeyless(migration, planned.base);
    return inBlocks(planned.base, survey);
  }
  // The way back goes over what is done, by key.
  if (step !== migration) return {};
  const reason = migration.options.weigh === undefined ? whyPlaceless(planned) : weighed;
  if (order === 'physical') {
    if (reason !== null) throw refused(migration, reason);
    return inBlocks(planned.base, survey);
  }
  const byKey: Passes = sweep ? { sweeps: true } : {};
  if (order === 'key' || reason !== null) return byKey;
  const why = await whyBlockOrderPays(session, planned.base, survey);
  if (why === null) return byKey;
  // Whoever asks for sweeps says that it drains.
  return sweep
    ? { ...inBlocks(planned.base, survey), auto: { state: 'asked', why } }
    : { auto: { state: 'undecided', why } };
}

/** Passes in the order in which rows are stored, and sweeps behind them. */
export function inBlocks({ blocks }: BaseTable, survey: Survey | undefined): Passes {
  const rows = survey?.rows ?? 0;
  const rowsPerBlock = rows > 0 && blocks > 0 ? Math.max(1, rows / blocks) : usualRowsPerBlock;
  return { sweeps: true, rowsPerBlock };
}

/** Refuses what a table cannot have whose rows are known by their places alone. */
function refuseOfKeyless({ name, path, options }: DataMigration, base: BaseTable): void {
  if (base.isPartitioned === true) {
    throw fail('SELECT_REFUSED', {
      message: `${name}: "${base.name}" is partitioned and has no key`,
      detail:
        'without a key, rows are identified by their places, which each partition counts by itself; nothing was changed',
      hint: 'write a migration for each partition, with the name of the partition in select; or add a primary key',
    });
  }
  if (options.weigh !== undefined) {
    throw fail('SELECT_REFUSED', {
      message: `${name}: options.weigh cuts chunks in the order of the key, and "${base.name}" has none`,
      detail: 'nothing was changed',
      hint: `remove options.weigh from ${path}, or add a primary key`,
    });
  }
  if (options.order === 'key') {
    throw fail('SELECT_REFUSED', {
      message: `${name}: options.order cannot be 'key': "${base.name}" has no key`,
      detail: 'nothing was changed',
      hint: `remove options.order from ${path}`,
    });
  }
}

const weighed = 'options.weigh cuts chunks in the order of the key';

/** Why the rows of a select cannot be visited in the order in which they are stored; null where they can. */
function whyPlaceless({ shape, base }: Planned): string | null {
  if (base.isGrouped === true) return 'select groups its rows, and groups have no place in the table';
  if (base.isPartitioned === true) return `"${base.name}" is partitioned and has no blocks of its own`;
  if (!shape.plain) return 'select has a join, a CTE or a subquery, whose rows have no place in the table';
  return null;
}

function refused({ name, path }: DataMigration, why: string): Error {
  return fail('SELECT_REFUSED', {
    message: `${name}: options.order cannot be 'physical': ${why}`,
    detail: 'nothing was changed',
    hint: `remove options.order from ${path}, and set options.sweep if the table needs another pass`,
  });
}
