import { isHeld } from '../../core/config/states.ts';
import { mostListed } from '../../core/values/numbers.ts';
import { rowsAre } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { QuarantinedRow } from '../../ledger/run/quarantine.ts';
import type { Key } from '../../migration/key/key.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { upgradeLedger } from '../../ledger/schema.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import { refuseOtherArgs } from '../checks/args.ts';
import { refuseOtherFile, refuseOtherPlan } from '../checks/drift.ts';
import { type RunEnvironment, byUser } from '../context/environment.ts';
import type { PlannedMigration } from '../analyze/plan.ts';

/** How many quarantined rows an error or a status names. */

/** The refusal to continue, or the end of a run, while rows are quarantined: names them. */
export function quarantinedError(
  run: Run,
  found: { readonly count: number; readonly rows: readonly QuarantinedRow[] },
): Error {
  const { count, rows } = found;
  const listed = rows.map(({ key, error, sqlstate }) => {
    const code = sqlstate === null ? '' : ` (SQLSTATE ${sqlstate})`;
    return `row ${key.join(', ')}: ${error}${code}`;
  });
  const rest =
    count > rows.length ? [`and ${count - rows.length} more: umzug-cluster status ${run.name}`] : [];
  return fail('MIGRATION_FAILED', {
    message: `${run.name}, ${run.direction}: ${rowsAre(count, 'quarantined')}`,
    detail: [...listed, ...rest].join('\n'),
    hint: `fix the rows${codeOfRun(run)}, then run: umzug-cluster retry ${run.name}`,
  });
}

/** What of the author's may be to blame. */
function codeOfRun({ direction, plan }: Run): string {
  if (plan.images !== undefined) return '';
  return direction === 'up' ? ' or update' : ' or down.update';
}

/** Refuses to resume a run that has failed with quarantined rows: only `retry` does. */
export async function refuseQuarantined(session: Session, env: RunEnvironment, run: Run): Promise<void> {
  if (run.state !== 'failed') return;
  const found = await env.ledger(session).quarantine.list(run.id, mostListed);
  if (found.count > 0) throw quarantinedError(run, found);
}

/**
 * The run of a migration whose rows `retry` would put back: its live one, or null. Rows of a run that has failed count
 * until it runs again, also where somebody has put them back from a host that has no file.
 */
export async function findRetriable(
  session: Session,
  env: RunEnvironment,
  name: string,
): Promise<{ readonly run: Run; readonly quarantined: number } | null> {
  const ledger = env.ledger(session);
  const run = (await ledger.runs.findLive(name, 'down')) ?? (await ledger.runs.findLive(name, 'up'));
  if (run === null) return null;
  const { quarantined, reopened } = await ledger.failures.facts(run.id);
  return { run, quarantined: quarantined + (run.state === 'failed' ? reopened : 0) };
}

/**
 * Puts quarantined rows of a run back into their turn, all or the one with this key, from a host that runs nothing:
 * those that work on the run process them; one that has failed waits for `up`, or for `retry` where its file was fixed.
 */
export async function reopenQuarantined(
  session: Session,
  env: RunEnvironment,
  name: string,
  key: Key | null,
): Promise<{ readonly run: Run; readonly rows: number }> {
  const ledger = env.ledger(session);
  return await withTransaction(session, env.pinned, async () => {
    await upgradeLedger(session, env.ledgerSchema);
    const found = await findRetriable(session, env, name);
    if (found === null) throw fail('USAGE', { message: `${name} has no run whose rows could be retried` });
    const { run } = await ledger.runs.lock(found.run.id);
    if (isHeld(run.state)) throw heldError(run);
    const rows = await ledger.quarantine.reopen(run.id, key);
    if (rows > 0) await ledger.history.record('retried', run, { rows, ...byUser(env) });
    return { run, rows };
  });
}

/**
 * Puts the quarantined rows of a run back into their turn and lets it run again; false where another host has
 * moved it on in the meantime. The file may have been fixed for them: its new hash is the run's from now on, while
 * its plan must be the same. A run that is under way continues with the file that it has.
 */
export async function retryQuarantined(
  session: Session,
  env: RunEnvironment,
  run: Run,
  { migration, plan }: PlannedMigration,
): Promise<boolean> {
  const ledger = env.ledger(session);
  const { hashes } = migration;
  return await withTransaction(session, env.pinned, async () => {
    await upgradeLedger(session, env.ledgerSchema);
    const { run: locked } = await ledger.runs.lock(run.id);
    if (isHeld(locked.state)) throw heldError(locked);
    if (locked.state !== 'running' && locked.state !== 'failed') return false;
    refuseOtherArgs(locked, migration);
    refuseOtherPlan(locked, plan);
    if (locked.state === 'running') refuseOtherFile(locked, hashes);
    const rows = await ledger.quarantine.reopen(run.id);
    await ledger.history.record('retried', { ...locked, ...hashes }, { rows });
    if (locked.state === 'running') return true;
    await ledger.runs.adopt(run.id, { ...hashes, planSha256: plan.sha256 });
    await ledger.ranges.resetRetries(run.id);
    await ledger.runs.changeState(run.id, 'running');
    return true;
  });
}

/** Rows of a run that somebody holds are put back when it resumes. */
function heldError({ name, state }: Run): Error {
  return fail('USAGE', {
    message: `${name} is ${state}: its quarantined rows cannot be retried now`,
    hint: `resume it: umzug-cluster resume ${name}; then: umzug-cluster retry ${name}`,
  });
}
