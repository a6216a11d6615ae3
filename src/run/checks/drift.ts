import { type FileHashes, changedFiles, namesOf } from '../../core/values/file-drift.ts';
import { fail } from '../../errors.ts';
import type { FailureFacts } from '../../ledger/run/failures.ts';
import type { Recreated } from '../../ledger/migrations.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { otherTable, resortedColumn } from '../../migration/select/identity.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { type WithArgs, otherArg } from './args.ts';
import { inOrder } from '../../postgres/transaction.ts';

/** Whether a run has failed before it changed anything. */
export function isUndone({ direction, state }: Run, { hasSucceeded }: FailureFacts): boolean {
  return direction === 'up' && state === 'failed' && !hasSucceeded;
}

/**
 * Whether a run gives way to a fixed file, or to other arguments: one that has failed before it changed anything is
 * ended, and a new one begins.
 */
export function isSpent(
  run: Run,
  present: WithArgs & { readonly hashes: FileHashes },
  facts: FailureFacts,
): boolean {
  if (!isUndone(run, facts)) return false;
  return changedFiles(run, present.hashes).length > 0 || otherArg(run, present) !== null;
}

/**
 * Refuses a file that is not the one a run began with, or an import of it that is not. `facts`: of a run that is
 * not under way; the rows that it has quarantined are retried with a fixed file.
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
  const orRetry =
    run.state !== 'failed' || (facts?.quarantined ?? 0) + (facts?.reopened ?? 0) === 0
      ? ''
      : `or, if it was fixed for the quarantined rows and selects the same, run umzug-cluster retry ${name}, `;
  throw fail('DRIFT', {
    message: `${name} was changed while its ${what} is in progress`,
    detail: `the ${what} started with ${file} ${first.recorded ?? 'missing'}, this host has ${first.present ?? 'none'}${more}`,
    hint: isUp
      ? `put the file back, ${orRetry}or revert the run: umzug-cluster down --name ${name}`
      : `put the file back, then finish the rollback: umzug-cluster down --name ${name}`,
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
    message: `${run.name}: the key column ${JSON.stringify(column.name)} is sorted differently than when the run started`,
    detail: `collation ${column.before} then, ${column.now} now (with the version of its library); nothing was changed`,
    hint: 'see "What if keys are sorted in another way?" in docs/operating.md',
  });
}

/** What a host finds a select to mean. */
interface Meaning {
  readonly sha256: string;
  readonly base: BaseTable;
  readonly sql: string;
}

/** Refuses a plan that is not the one a run began with, and names in what it differs. */
export function refuseOtherPlan(run: Run, { sha256, base, sql }: Meaning): void {
  const { plan } = run;
  refuseOtherOrder(run, base);
  const table = otherTable(plan.base, base);
  if (run.planSha256 === sha256 && table === null) return;
  const other = table ?? (plan.sql === sql ? 'its bindings differ' : otherText(plan.sql, sql));
  throw fail('DRIFT', {
    message: `${run.name}: ${run.direction === 'up' ? 'select' : 'down.select'} is not the query this run started with`,
    detail: `${other}; nothing was changed`,
    hint:
      table === null
        ? 'a select must not depend on the time, on chance or on the host'
        : `undo what changed the table, or see "What if a table was recreated or changed?" in docs/operating.md`,
  });
}

const shownText = 60;

function otherText(before: string, now: string): string {
  const at = [...before].findIndex((sign, index) => sign !== now[index]);
  const from = Math.max(0, (at === -1 ? before.length : at) - shownText / 2);
  const part = (sql: string): string => JSON.stringify(sql.slice(from, from + shownText));
  return `its SQL was …${part(before)}…, and is now …${part(now)}…`;
}

/** Refuses migrations whose tables were dropped and made again: what was done is gone with them. */
export function refuseRecreated(found: readonly Recreated[]): void {
  const [first] = found;
  if (first === undefined) return;
  const listed = found.map(({ name, table }) => `${table}: ${name}`);
  const flags = found.map(({ name }) => `--name ${name}`).join(' ');
  throw fail('DRIFT', {
    message: `${first.table} was recreated since ${first.name} ran: its work was lost with the old table`,
    detail: `${listed.join('\n')}\nnothing was run`,
    hint: `run them again: umzug-cluster up --rerun ALLOW ${flags}; or, if the tables already have their changes, accept them: umzug-cluster repair`,
  });
}

/** The refusal of `up` while a rollback is half done. */
export function revertingError(name: string): Error {
  return fail('REVERTING', {
    message: `${name} is being rolled back`,
    detail: 'its rollback has started and is not finished',
    hint: `go forward again: umzug-cluster down --name ${name}, then umzug-cluster up; as long as no row is rolled back, abandon the rollback: umzug-cluster cancel ${name}`,
  });
}

/**
 * A command decides what to run, and runs it later: by then another host may have rolled back what it builds
 * on, or built on what it reverts. Both look here, in their turn and in the transaction that begins the work.
 */

/**
 * Refuses to begin `name` while something before it is being rolled back, or one of `executed`, on which the
 * command counted, no longer is.
 */
export async function refuseWithoutGround(
  ledger: Ledger,
  name: string,
  executed: Iterable<string>,
): Promise<void> {
  const [live, recorded] = await inOrder([ledger.runs.live(), ledger.migrations.list()]);
  const reverting = live.find(
    (run) => run.direction === 'up' && run.state === 'reverting' && run.name < name,
  );
  if (reverting !== undefined) throw revertingError(reverting.name);
  const present = new Set(recorded.map((migration) => migration.name));
  const gone = [...executed].find((before) => before < name && !present.has(before));
  if (gone === undefined) return;
  throw fail('REVERTING', {
    message: `${name} comes after ${gone}, which another host has rolled back in the meantime`,
    detail: `${name} was not run`,
    hint: 'run both in order: umzug-cluster up',
  });
}

/** Refuses to revert `name` where something after it was started that was not among `begun` when it was chosen. */
export async function refuseBuiltUpon(
  ledger: Ledger,
  name: string,
  begun: ReadonlySet<string>,
): Promise<void> {
  const live = (await ledger.runs.live()).filter(({ direction }) => direction === 'up');
  const now = [...(await ledger.migrations.list()), ...live].map((one) => one.name);
  const later = now.find((other) => other > name && !begun.has(other));
  if (later === undefined) return;
  throw fail('ORDER', {
    message: `${later}, which comes after ${name}, was started by another host in the meantime`,
    detail: `${name} was not reverted`,
    hint: `revert the last migration: umzug-cluster down; revert only this one: umzug-cluster down --name ${name}`,
  });
}

/**
 * Refuses a data migration that selects from the table of a run that is parked: it may build on what that one has not
 * done. What else it may build on is not known, nor what a schema migration does: there `--past` is the operator's word.
 */
export async function refuseSameTable(
  ledger: Ledger,
  { name, base }: { readonly name: string; readonly base: BaseTable },
  past: readonly string[],
): Promise<void> {
  const parked = (await ledger.runs.live()).find(
    ({ name: other, plan }) =>
      past.includes(other) && plan.base.schema === base.schema && plan.base.name === base.name,
  );
  if (parked === undefined) return;
  throw fail('ORDER', {
    message: `${name} selects from ${base.schema}.${base.name}, as ${parked.name} does, which is parked: it may build on it`,
    detail: `${name} was not run`,
    hint: `if it does not: umzug-cluster up --name ${name}; else first: umzug-cluster resume ${parked.name}`,
  });
}
