import type { Control } from '../../cluster/worker/control.ts';
import { isOwnProcess, workOn } from '../../cluster/process/own-process.ts';
import type { Config } from '../../config/config.ts';
import { withoutName } from '../../core/values/names.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import type { Direction, Run } from '../../ledger/run/rows.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { loadMigration, refuseWithoutDown } from '../../migration/file/loader.ts';
import { beginReadOnly, inOneTrip, reading, withTransaction } from '../../postgres/transaction.ts';
import { isSpent, refuseOtherFile, refuseOtherPlan, revertingError } from '../../run/checks/drift.ts';
import { type RunEnvironment, makeEnvironment, readServer } from '../../run/context/environment.ts';
import { type Plan, planStep } from '../../run/analyze/plan.ts';
import { type Outlook, type Sample, lookAhead, lookBack, takeSample } from '../../run/dry-run/sample.ts';
import { adviseOrder } from '../../run/dry-run/order-advice.ts';
import { type DataMigration, stepOf } from '../../run/context/step.ts';
import { checkOrder } from '../pending/checks.ts';
import { type OtherPlaces, recordedElsewhere, recordedError } from '../pending/other-tools.ts';
import { refuseTooEarly } from '../pending/requires.ts';
import { explained, isAboutWhatIsMissing } from './plan-errors.ts';
import {
  type MigrationPlan,
  type PlanReport,
  type PlannedRows,
  estimateOf,
  reportOf,
  waits,
} from './plan-report.ts';
import { warningsOf } from './warnings.ts';
import type { LedgerState } from '../pending/state.ts';
import { unknownName } from '../pending/umzug.ts';

interface Planned {
  readonly plan: MigrationPlan;
  readonly problem: UmzugClusterError | null;
}

/**
 * Plans the pending ones of these files, in order, or one of them. `problem`: the first refusal or failure, as `up`
 * would say it. Throws what `up` would refuse as a whole.
 */
export async function planReport(
  all: readonly MigrationFile[],
  only: string | undefined,
  state: LedgerState,
  { config, control }: { readonly config: Config; readonly control: Control },
): Promise<{ report: PlanReport; problem: UmzugClusterError | null }> {
  const files = checkOrder(all, state, {});
  const names = files.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) throw unknownName(only, names, 'pending');
  const unbegun = files.filter(({ name }) => !state.live.includes(name));
  const recorded = await control.use((session) =>
    reading(session, async () => recordedError(await recordedElsewhere(session, unbegun, config))),
  );
  if (recorded !== null) throw recorded;
  const env = makeEnvironment(config, await control.use(readServer), { isOwnProcess: isOwnProcess() });
  const at = { env, control, places: config };
  const planned: Planned[] = [];
  let schemaBefore: string | null = null;
  for (const file of files) {
    if (only === undefined || file.name === only) {
      planned.push(await planFile(file, at, { schemaBefore, hasLedger: state.exists, direction: 'up' }));
    }
    if (await isSchema(file)) schemaBefore = file.name;
  }
  const problem = planned.find((one) => one.problem !== null)?.problem ?? null;
  return { report: { migrations: planned.map(({ plan }) => plan) }, problem };
}

/** Plans the rollback of these migrations; `problem` as of `planReport`. */
export async function planDownReport(
  targets: readonly MigrationFile[],
  config: Config,
  control: Control,
): Promise<{ report: PlanReport; problem: UmzugClusterError | null }> {
  const env = makeEnvironment(config, await control.use(readServer), { isOwnProcess: isOwnProcess() });
  const planned: Planned[] = [];
  for (const file of targets) {
    planned.push(
      await planFile(
        file,
        { env, control, places: config },
        { schemaBefore: null, hasLedger: true, direction: 'down' },
      ),
    );
  }
  const problem = planned.find((one) => one.problem !== null)?.problem ?? null;
  return { report: { migrations: planned.map(({ plan }) => plan) }, problem };
}

async function isSchema(file: MigrationFile): Promise<boolean> {
  return await loadMigration(file).then(
    ({ kind }) => kind === 'schema',
    () => false,
  );
}

/** Where it is planned. */
interface Server {
  readonly control: Control;
  readonly env: RunEnvironment;
  readonly places: OtherPlaces;
}

interface Before {
  /** The last pending schema migration before this one: what is missing now may be there then. */
  readonly schemaBefore: string | null;
  readonly hasLedger: boolean;
  readonly direction: Direction;
}

async function planFile(file: MigrationFile, at: Server, before: Before): Promise<Planned> {
  let plan: MigrationPlan = { ...nothingKnown, name: file.name };
  try {
    workOn(file.name, at.env.tuning.ceilingMs);
    const migration = await loadMigration(file);
    plan = { ...plan, kind: migration.kind };
    if (before.direction === 'down') refuseWithoutDown(migration);
    else if (migration.requires.length > 0) {
      await at.control.use((session) =>
        reading(session, () => refuseTooEarly(session, migration, at.places)),
      );
    }
    if (migration.kind === 'schema') return { plan, problem: null };
    await planData(migration, at, before, (known) => {
      plan = { ...plan, ...known };
    });
    return { plan, problem: null };
  } catch (error) {
    if (before.schemaBefore !== null && isAboutWhatIsMissing(error)) {
      return { plan: { ...plan, blockedBy: before.schemaBefore }, problem: null };
    }
    const problem = explained(file.name, error);
    const { code, message, detail = null, hint = null } = problem;
    return { plan: { ...plan, error: { code, message, detail, hint } }, problem };
  }
}

const nothingKnown: Omit<MigrationPlan, 'name'> = {
  kind: null,
  blockedBy: null,
  table: null,
  key: [],
  select: null,
  rows: { estimated: null, table: null, isCounted: false, isTableCounted: false, why: null },
  isBegun: false,
  sample: null,
  estimate: null,
  warnings: [],
  advice: [],
  error: null,
};

async function planData(
  migration: DataMigration,
  at: Server,
  { hasLedger, direction }: Before,
  learn: (known: Partial<MigrationPlan>) => void,
): Promise<void> {
  const { env, control } = at;
  const plan = await control.use((session) =>
    planStep(session, env, migration, stepOf(migration, direction)),
  );
  const { base } = plan;
  const { survey } = plan.stored;
  const ofTable = { table: survey?.rows ?? null, isTableCounted: survey?.isCounted === true };
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
    ? await control.use((session) => lookAhead(session, env, plan, live))
    : await outlookBack(at, migration, plan);
  const back = isUp ? await warningsOfDown(at, migration) : [];
  const first = [...plan.warnings, ...back, ...waits(outlook)];
  const expected = rowsOf(outlook.rows, outlook.isCounted, outlook.why);
  learn({ rows: expected, isBegun: live !== null, warnings: first });
  const sample = await control.use((session) => takeSample(session, env, { migration, plan }, outlook));
  // From the start of the table to its end, none was found; of a half-done run not all parts were searched.
  const isSearched = (isUp && live === null) || outlook.places.length === 1;
  if (sample === null) return learn(isSearched ? { rows: rowsOf(0, true) } : {});
  // Where the sample has met them all, they are counted.
  const isAll = sample.isAll && isSearched;
  const rows = isAll ? sample.rows : outlook.rows;
  const matching = rows ?? survey?.found?.at(-1) ?? null;
  learn({
    rows: isAll ? rowsOf(rows, true) : expected,
    sample: reportOf(sample),
    estimate: estimateOf(sample, rows, env, plan),
    warnings: [...first, ...warningsOf({ ...sample, base, tableRows: survey?.rows ?? null, matching })],
    advice: isUp && live === null ? await adviceOf(at, migration, plan, { sample, rows }) : [],
  });
}

async function adviceOf(
  { control, env }: Server,
  { options }: DataMigration,
  { base, hasPlaces }: Plan,
  { sample, rows }: { readonly sample: Sample; readonly rows: number | null },
): Promise<readonly string[]> {
  if (!hasPlaces || !sample.drains || rows === null || options.order === 'physical') return [];
  const advice = await control.use((session) =>
    withTransaction(session, env.pinned, () => adviseOrder(session, base, rows), beginReadOnly),
  );
  return advice === null ? [] : [advice];
}

/** The half-done run, where `up` would resume one; refused where `up` would refuse it. */
async function liveRun({ control, env }: Server, migration: DataMigration, plan: Plan): Promise<Run | null> {
  const found = await control.use((session) =>
    withTransaction(session, env.pinned, async () => {
      const run = await env.ledger(session).runs.findLive(migration.name, 'up');
      return run === null ? null : { run, facts: await env.ledger(session).failures.facts(run.id) };
    }),
  );
  if (found === null) return null;
  const { run, facts } = found;
  if (run.state === 'reverting') throw revertingError(migration.name);
  if (isSpent(run, migration.hashes, facts)) return null;
  refuseOtherFile(run, migration.hashes, facts);
  refuseOtherPlan(run, plan);
  return run;
}

async function outlookBack({ control, env }: Server, { name }: DataMigration, plan: Plan): Promise<Outlook> {
  return await control.use(async (session) => {
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
async function warningsOfDown(
  { control, env }: Server,
  migration: DataMigration,
): Promise<readonly string[]> {
  if (migration.down === null) return [];
  try {
    await control.use((session) => planStep(session, env, migration, stepOf(migration, 'down')));
    return [];
  } catch (error) {
    if (!(error instanceof UmzugClusterError) || error.code !== 'SELECT_REFUSED') throw error;
    const why = withoutName(withoutName(error.message, migration.name), migration.path);
    return [`down would be refused: ${why}`];
  }
}
