import type { GivenArg } from '../../core/config/args.ts';
import { withoutName } from '../../core/values/names.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import type { Direction, Run, RunPlan } from '../../ledger/run/rows.ts';
import { isKeyless } from '../../migration/key/key.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { loadMigration, refuseWithoutDown } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip, reading, withTransaction } from '../../postgres/transaction.ts';
import { workOn } from '../../cluster/process/own-process.ts';
import { refuseOtherArgs } from '../../run/checks/args.ts';
import { isSpent, refuseOtherFile, refuseOtherPlan, revertingError } from '../../run/checks/drift.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { type Plan, planStep } from '../../run/analyze/plan.ts';
import { type Outlook, type Sample, lookAhead, lookBack, takeSample } from '../../run/dry-run/sample.ts';
import { type DataMigration, stepOf } from '../../run/context/step.ts';
import { type BackOptions, wayBackOf } from '../../run/lifecycle/way-back.ts';
import type { Watched } from '../../run/schema/giving-way.ts';
import { trySchema } from '../../run/schema/schema-trial.ts';
import type { SchemaMigration } from '../../run/schema/schema-step.ts';
import { withGivenArgs } from '../pending/args.ts';
import type { OtherPlaces } from '../pending/other-tools.ts';
import { refuseTooEarly } from '../pending/requires.ts';
import { explained, wasIdle, whyNotPlanned } from './plan-errors.ts';
import {
  type MigrationPlan,
  type PlannedRows,
  estimateOf,
  reportOf,
  undoReportOf,
  waits,
} from './plan-report.ts';
import { describeStored, seemDropped, storedColumns } from './lost.ts';
import { planRestoring } from './plan-restore.ts';
import { warningsOf } from './warnings.ts';

/** What is to be shown of a migration, and what `up` would stop at. */
export interface Planned {
  readonly plan: MigrationPlan;
  readonly problem: UmzugClusterError | null;
}

/** Where it is planned. */
export interface Server {
  readonly use: <T>(work: (session: Session) => Promise<T>) => Promise<T>;
  readonly env: RunEnvironment;
  readonly places: OtherPlaces;
  readonly given: readonly GivenArg[];
  /** The transaction around all that is planned, in which schema migrations are tried; null: they are not. */
  readonly trial: Watched | null;
}

/** What is pending before a migration. */
export interface Before {
  /** Schema migrations that were tried, in whose transaction this one is. */
  readonly after: readonly string[];
  /** The last schema migration that was not: what is missing now may be there then. */
  readonly schemaBefore: string | null;
  /** The last data migration that has rows: they are not as it leaves them. */
  readonly dataBefore: string | null;
  readonly hasLedger: boolean;
  readonly direction: Direction;
  readonly back?: BackOptions;
}

/** Plans one migration. Throws only where the database cannot be worked with, or the transaction has given way. */
export async function planFile(file: MigrationFile, at: Server, before: Before): Promise<Planned> {
  let plan: MigrationPlan = { ...nothingKnown, name: file.name, after: before.after };
  try {
    workOn(file.name, at.env.tuning.ceilingMs);
    const migration = await loadMigration(file);
    plan = { ...plan, kind: migration.kind };
    if (before.direction === 'down' && migration.kind === 'schema') refuseWithoutDown(migration);
    else if (migration.requires.length > 0) {
      await at.use((session) => reading(session, () => refuseTooEarly(session, migration, at.places)));
    }
    if (migration.kind === 'schema') {
      const { trial } = at;
      plan = { ...plan, warnings: await warningsOfDrop(file.path, at, before) };
      if (trial === null || before.direction === 'down') return { plan, problem: null };
      return { plan: { ...plan, ...(await planSchema(migration, at.env, trial)) }, problem: null };
    }
    await planData(migration, at, before, (known) => {
      plan = { ...plan, ...known };
    });
    return { plan, problem: null };
  } catch (error) {
    if (at.trial !== null && isLost(at.trial, error)) throw error;
    // Each of the others would wait for it as long.
    if (error instanceof UmzugClusterError && error.code === 'DATABASE_UNAVAILABLE') throw error;
    const why = whyNotPlanned(error, { ...before, kind: plan.kind, trial: at.trial });
    if (why !== null) return { plan: { ...plan, ...why }, problem: null };
    const problem = explained(file.name, error);
    const { code, message, detail = null, hint = null } = problem;
    return { plan: { ...plan, error: { code, message, detail, hint } }, problem };
  }
}

/** What a schema migration seems to drop of what could be restored. */
async function warningsOfDrop(
  path: string,
  { env, use }: Server,
  { hasLedger, direction }: Before,
): Promise<readonly string[]> {
  if (!hasLedger || direction === 'down') return [];
  const stored = await use((session) => storedColumns(session, env.ledgerSchema, 'present'));
  return seemDropped(path, stored).map(
    (one) => `it seems to drop ${describeStored(one)}: they could not be restored any more`,
  );
}

/** The transaction is gone, and not for what the migration did. */
function isLost({ session, gaveWay }: Watched, error: unknown): boolean {
  const isItsOwn = error instanceof UmzugClusterError || wasIdle(session);
  return gaveWay() !== null || (!session.usable && !isItsOwn);
}

/** Of a migration of which nothing is known yet. */
export const nothingKnown: Omit<MigrationPlan, 'name'> = {
  kind: null,
  after: [],
  blockedBy: null,
  unplanned: null,
  schema: null,
  table: null,
  key: [],
  select: null,
  rows: { estimated: null, table: null, isCounted: false, isTableCounted: false, why: null },
  isBegun: false,
  sample: null,
  estimate: null,
  undo: null,
  warnings: [],
  order: null,
  error: null,
};

/** Runs a schema migration and leaves it in the transaction; without one of its own it cannot be rolled back. */
async function planSchema(
  migration: SchemaMigration,
  env: RunEnvironment,
  watched: Watched,
): Promise<Pick<MigrationPlan, 'schema' | 'unplanned'>> {
  if (!migration.transaction) {
    return { schema: null, unplanned: 'it runs without a transaction, so nothing could roll it back' };
  }
  return { schema: await trySchema(env, migration, watched), unplanned: null };
}

/** Plans a rollback by stored values; null: the file has a `down`, and that is run. */
async function planStored(
  loaded: DataMigration,
  at: Server,
  back: BackOptions,
): Promise<Partial<MigrationPlan> | null> {
  const way = await at.use((session) =>
    withTransaction(session, at.env.pinned, () => wayBackOf(session, at.env, loaded, back)),
  );
  return way === loaded ? null : await planRestoring(way, at, back.overwrite ?? false);
}

async function planData(
  loaded: DataMigration,
  at: Server,
  { hasLedger, direction, back = {} }: Before,
  learn: (known: Partial<MigrationPlan>) => void,
): Promise<void> {
  const { env, use } = at;
  const stored = direction === 'down' ? await planStored(loaded, at, back) : null;
  if (stored !== null) return learn(stored);
  const migration = await use((session) =>
    withGivenArgs(session, env.ledgerSchema, loaded, { direction, given: at.given }),
  );
  const plan = await use((session) => planStep(session, env, migration, stepOf(migration, direction)));
  const { base } = plan;
  const { survey } = plan.stored;
  const isGrouped = base.isGrouped === true;
  // Of so many rows there are not so many groups.
  const tableRows = isGrouped ? null : (survey?.rows ?? null);
  const ofTable = { table: tableRows, isTableCounted: survey?.isCounted === true };
  const rowsOf = (estimated: number | null, isCounted: boolean, why: string | null = null): PlannedRows => ({
    ...ofTable,
    estimated,
    isCounted,
    why,
  });
  learn({
    table: `${base.schema}.${base.name}`,
    key: base.key.map(({ name }) => name),
    select: plan.stored.sql,
    rows: rowsOf(null, false),
    warnings: plan.warnings,
  });
  const isUp = direction === 'up';
  const live = hasLedger && isUp ? await liveRun(at, migration, plan) : null;
  const outlook = isUp
    ? await use((session) => lookAhead(session, env, plan, live))
    : await outlookBack(at, migration, plan);
  const passes = live?.plan ?? plan.stored;
  const ofDown = isUp ? await warningsOfDown(at, migration) : [];
  const first = [...plan.warnings, ...ofDown, ...waits(outlook)];
  const expected = rowsOf(outlook.rows, outlook.isCounted, outlook.why);
  learn({ rows: expected, isBegun: live !== null, order: orderOf(passes, null), warnings: first });
  const sample = await use((session) => takeSample(session, env, { migration, plan }, outlook));
  // From the start of the table to its end, none was found; of a half-done run not all parts were searched.
  const isLaidOut = passes.auto?.state !== 'undecided';
  const isSearched = (isUp && live === null) || (isLaidOut && outlook.places.length === 1);
  if (sample === null) return learn(isSearched ? { rows: rowsOf(0, true) } : {});
  // Where the sample has met them all, they are counted.
  const isAll = sample.isAll && isSearched;
  const rows = isAll ? sample.rows : outlook.rows;
  const matching = isGrouped ? null : (rows ?? survey?.found?.at(-1) ?? null);
  learn({
    rows: isAll ? rowsOf(rows, true) : expected,
    sample: reportOf(sample),
    estimate: estimateOf(sample, rows, env, plan),
    undo: undoReportOf(sample, rows),
    warnings: [...first, ...warningsOf({ ...sample, base, tableRows: survey?.rows ?? null, matching })],
    order: orderOf(passes, sample),
  });
}

/** In which order a run goes over its table, where that is not the usual one, and why. */
function orderOf(
  { auto, rowsPerBlock, base }: RunPlan,
  sample: Pick<Sample, 'drains'> | null,
): MigrationPlan['order'] {
  if (rowsPerBlock !== undefined) {
    const why = isKeyless(base) ? `"${base.name}" has no key` : "options.order is 'physical'";
    return { by: 'physical', why: auto?.why ?? why };
  }
  if (auto === undefined) return { by: 'key', why: null };
  return sample?.drains === false
    ? { by: 'key', why: 'rows that were updated still match select, which the physical order does not allow' }
    : { by: 'physical', why: `${auto.why}; if the first rows that are updated match no longer` };
}

/** The half-done run, where `up` would resume one; refused where `up` would refuse it. */
async function liveRun({ use, env }: Server, migration: DataMigration, plan: Plan): Promise<Run | null> {
  const found = await use((session) =>
    withTransaction(session, env.pinned, async () => {
      const run = await env.ledger(session).runs.findLive(migration.name, 'up');
      return run === null ? null : { run, facts: await env.ledger(session).failures.facts(run.id) };
    }),
  );
  if (found === null) return null;
  const { run, facts } = found;
  if (run.state === 'reverting') throw revertingError(migration.name);
  if (isSpent(run, migration, facts)) return null;
  refuseOtherFile(run, migration.hashes, facts);
  refuseOtherArgs(run, migration);
  refuseOtherPlan(run, plan);
  return run;
}

async function outlookBack({ use, env }: Server, { name }: DataMigration, plan: Plan): Promise<Outlook> {
  return await use(async (session) => {
    const { runs } = env.ledger(session);
    const [begun, live, done] = await inOneTrip(session, env.pinned, () =>
      Promise.all([runs.findLive(name, 'down'), runs.findLive(name, 'up'), runs.findDone(name)]),
    );
    const up = live ?? done;
    if (up === null) throw fail('USAGE', { message: `${name} has no run to roll back` });
    return await lookBack(session, env, plan, { up, begun });
  });
}

/** That `down` cannot work is no reason not to plan `up`, but one to say so. */
async function warningsOfDown({ use, env }: Server, migration: DataMigration): Promise<readonly string[]> {
  if (migration.down === null) return [];
  try {
    await use((session) => planStep(session, env, migration, stepOf(migration, 'down')));
    return [];
  } catch (error) {
    if (!(error instanceof UmzugClusterError) || error.code !== 'SELECT_REFUSED') throw error;
    const why = withoutName(withoutName(error.message, migration.name), migration.path);
    return [`down would be refused: ${why}`];
  }
}
