import { type FileHashes, changedFiles, namesOf } from '../core/file-drift.ts';
import { fail } from '../errors.ts';
import type { FailureFacts } from '../ledger/quarantine.ts';
import type { Run } from '../ledger/rows.ts';
import type { BaseTable } from '../migration/key.ts';
import { resortedColumn } from '../migration/select-identity.ts';

/**
 * Whether a run gives way to a mended file: one that has failed before it changed anything is ended, and a new one
 * begins.
 */
export function isSpent(run: Run, present: FileHashes, { hasSucceeded }: FailureFacts): boolean {
  const { direction, state } = run;
  return direction === 'up' && state === 'failed' && !hasSucceeded && changedFiles(run, present).length > 0;
}

/**
 * Refuses a file that is not the one a run began with, or an import of it that is not. `facts`: of a run that is
 * not under way; the rows that it has set aside are retried with a mended file.
 */
export function refuseOtherFile(run: Run, present: FileHashes, facts?: FailureFacts): void {
  const changed = changedFiles(run, present);
  const [first] = changed;
  if (first === undefined) return;
  const { name } = run;
  const isUp = run.direction === 'up';
  const what = isUp ? 'run' : 'rollback';
  const file = first.path === null ? 'file' : `import ${first.path}`;
  const more = changed.length === 1 ? '' : `; changed: ${namesOf(changed, 'the file itself')}`;
  const mended =
    run.state !== 'failed' || (facts?.quarantined ?? 0) === 0
      ? ''
      : `or, where it was mended for the quarantined rows and selects the same, run umzug-cluster retry ${name}, `;
  throw fail('DRIFT', {
    message: `${name} was changed while its ${what} is in progress`,
    detail: `the ${what} began with ${file} ${first.recorded ?? 'missing'}, this host has ${first.present ?? 'none'}${more}`,
    hint: isUp
      ? `put the file back, ${mended}or revert the run with: umzug-cluster down --name ${name}`
      : `put the file back, then finish the rollback with: umzug-cluster down --name ${name}`,
  });
}

/**
 * Refuses a table whose keys are sorted in another way than when a run began: by an upgrade of the system's library
 * or of ICU, or since a column was given another collation. What lies behind a cursor is another thing then.
 */
export function refuseOtherOrder(run: Run, base: BaseTable): void {
  const column = resortedColumn(run.plan.base, base);
  if (column === null) return;
  throw fail('DRIFT', {
    message: `${run.name}: the key column ${JSON.stringify(column.name)} is sorted in another way than when the run began`,
    detail: `collation ${column.before} then, ${column.now} now (its oid, and the version of its library); nothing was changed`,
    hint: 'see "What if keys are sorted in another way?" in docs/operating.md',
  });
}

/** Refuses a plan that is not the one a run began with. `base`: the table and key as this host finds them. */
export function refuseOtherPlan(run: Run, sha256: string, base: BaseTable = run.plan.base): void {
  refuseOtherOrder(run, base);
  if (run.planSha256 === sha256) return;
  throw fail('DRIFT', {
    message: `${run.name}: ${run.direction === 'up' ? 'select' : 'down.select'} does not mean what it meant when the run began`,
    detail: `plan ${run.planSha256} then, ${sha256} now: its SQL, bindings, table or key differ`,
    hint: 'a select must not depend on the time, on chance or on the host',
  });
}

/** The refusal of `up` while a rollback is half done. */
export function revertingError(name: string): Error {
  return fail('REVERTING', {
    message: `${name} is being rolled back`,
    detail: 'its rollback was begun and is not finished',
    hint: `finish it first: umzug-cluster down --name ${name}`,
  });
}
