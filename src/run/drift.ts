import { fail } from '../errors.ts';
import type { Run } from '../ledger/rows.ts';

/** Refuses a file that is not the one a run began with. */
export function refuseOtherFile(run: Run, sha256: string): void {
  if (run.fileSha256 === sha256) return;
  const { name } = run;
  const isUp = run.direction === 'up';
  throw fail('DRIFT', {
    message: `${name} was changed while its ${isUp ? 'run' : 'rollback'} is in progress`,
    detail: `the ${isUp ? 'run' : 'rollback'} began with file ${run.fileSha256}, this host has ${sha256}`,
    hint: isUp
      ? `put the file back, or revert the run with: umzug-cluster down --name ${name}`
      : `put the file back, then finish the rollback with: umzug-cluster down --name ${name}`,
  });
}

/** Refuses a plan that is not the one a run began with. */
export function refuseOtherPlan(run: Run, sha256: string): void {
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
