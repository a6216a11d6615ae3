import type { Control } from '../../cluster/worker/control.ts';
import { isOwnProcess } from '../../cluster/process/own-process.ts';
import type { Config } from '../../config/config.ts';
import { documentWithoutSecrets } from '../../core/errors/redact.ts';
import { type UmzugClusterError, messageOf } from '../../errors.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { kindOf } from '../../migration/file/loader.ts';
import { type ServerFacts, enclosed, reading } from '../../postgres/transaction.ts';
import { makeEnvironment, readServer } from '../../run/context/environment.ts';
import type { BackOptions } from '../../run/lifecycle/way-back.ts';
import { givingWay, trialTuning } from '../../run/schema/giving-way.ts';
import { refuseUnknownArgs } from '../pending/args.ts';
import { checkOrder } from '../pending/checks.ts';
import { recordedElsewhere, recordedError } from '../pending/other-tools.ts';
import type { LedgerState } from '../pending/state.ts';
import { unknownName } from '../pending/umzug.ts';
import { type Before, type Planned, type Server, nothingKnown, planFile } from './plan-file.ts';
import type { PlanReport } from './plan-report.ts';

/** What is to be planned. */
export interface PlanRequest {
  /** Only this one. Default: all that are pending. */
  readonly name?: string | undefined;
  /** Try schema migrations, and plan what follows on top of them. Default: true. */
  readonly schema?: boolean | undefined;
}

/** What is planned, and what `up` would refuse first. */
export interface PlanAnswer {
  readonly report: PlanReport;
  readonly problem: UmzugClusterError | null;
}

type Answer = Promise<PlanAnswer>;

interface Place {
  readonly config: Config;
  readonly control: Control;
}

/**
 * Plans the pending ones of these files, in order, or one of them. `problem`: the first refusal or failure, as `up`
 * would say it. Throws what `up` would refuse as a whole.
 */
export async function planReport(
  all: readonly MigrationFile[],
  { name: only, schema = true }: PlanRequest,
  state: LedgerState,
  place: Place,
): Answer {
  const { config, control } = place;
  const files = checkOrder(all, state, {});
  const names = files.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) throw unknownName(only, names, 'pending');
  await refuseUnknownArgs(config.args, files, all);
  const unbegun = files.filter(({ name }) => !state.live.includes(name));
  const recorded = await control.use((session) =>
    reading(session, async () => recordedError(await recordedElsewhere(session, unbegun, config))),
  );
  if (recorded !== null) throw recorded;
  const server = await control.use(readServer);
  const list = only === undefined ? files : files.slice(0, names.indexOf(only) + 1);
  const kinds = await Promise.all(list.map((file) => kindOf(file).catch(() => null)));
  const first = schema ? kinds.indexOf('schema') : -1;
  // What comes before any change of the schema needs no transaction around it.
  const alone = list.slice(0, first < 0 ? undefined : first);
  const walk: Walk = { before: { ...nothingBefore, hasLedger: state.exists }, planned: [], only };
  const walked = await walkOn(alone, outside(place, server), walk);
  if (first < 0) return answerOf(walked, null);
  const tried = await planOnTop(list.slice(first), place, server, walked);
  if (tried.walk !== null) return answerOf(tried.walk, tried.trial);
  return answerOf(await walkOn(list.slice(first), outside(place, server), walked), tried.trial);
}

/** Plans the rollback of these migrations; `problem` as of `planReport`. */
export async function planDownReport(
  {
    files,
    targets,
  }: { readonly files: readonly MigrationFile[]; readonly targets: readonly MigrationFile[] },
  place: Place,
  back: BackOptions,
): Answer {
  const server = await place.control.use(readServer);
  await refuseUnknownArgs(place.config.args, targets, files);
  const planned: Planned[] = [];
  for (const file of targets) {
    const before: Before = { ...nothingBefore, hasLedger: true, direction: 'down', back };
    planned.push(await planFile(file, outside(place, server), before));
  }
  return answerOf({ planned }, null);
}

function answerOf({ planned }: Pick<Walk, 'planned'>, trial: PlanReport['trial']): Awaited<Answer> {
  const problem = planned.find((one) => one.problem !== null)?.problem ?? null;
  const report = documentWithoutSecrets({ migrations: planned.map(({ plan }) => plan), trial });
  return { report, problem };
}

/** Each step of a plan has a transaction of its own. */
function outside({ config, control }: Place, server: ServerFacts): Server {
  const env = makeEnvironment(config, server, { isOwnProcess: isOwnProcess() });
  return { use: (work) => control.use(work), env, places: config, given: config.args, trial: null };
}

const nothingBefore: Before = {
  after: [],
  schemaBefore: null,
  dataBefore: null,
  hasLedger: false,
  direction: 'up',
};

/** How far the list is planned. */
interface Walk {
  readonly before: Before;
  readonly planned: readonly Planned[];
  /** Of the others only what it builds on is of interest. */
  readonly only: string | undefined;
}

async function walkOn(files: readonly MigrationFile[], at: Server, walk: Walk): Promise<Walk> {
  let walked = walk;
  for (const file of files) walked = await stepOn(file, at, walked);
  return walked;
}

async function stepOn(file: MigrationFile, at: Server, { before, planned, only }: Walk): Promise<Walk> {
  const { name } = file;
  const isAsked = only === undefined || only === name;
  const kind = await kindOf(file).catch(() => null);
  const isNeeded = isAsked || (kind === 'schema' && at.trial !== null);
  const one = isNeeded ? await planFile(file, at, before) : null;
  const isTried = one !== null && one.plan.schema !== null;
  const isEmpty = one?.plan.rows.estimated === 0 && one.plan.rows.isCounted;
  return {
    only,
    planned: one !== null && isAsked ? [...planned, one] : planned,
    before: {
      ...before,
      after: isTried ? [...before.after, name] : before.after,
      schemaBefore: kind === 'schema' && !isTried ? name : before.schemaBefore,
      dataBefore: kind === 'data' && !isEmpty ? name : before.dataBefore,
    },
  };
}

/**
 * Plans in one transaction, from the first schema migration on: each is tried and left there, so that what follows is
 * planned on top of it. `walk`: null where nothing could be tried, since nobody could watch.
 */
async function planOnTop(
  files: readonly MigrationFile[],
  { config, control }: Place,
  server: ServerFacts,
  from: Walk,
): Promise<{ readonly walk: Walk | null; readonly trial: NonNullable<PlanReport['trial']> }> {
  const hasty = { ...config, tuning: trialTuning(config.tuning) };
  const env = makeEnvironment(hasty, server, { isOwnProcess: isOwnProcess() });
  return await control.use(async (session) => {
    const startedAt = performance.now();
    const durationMs = (): number => Math.round(performance.now() - startedAt);
    let walked = from;
    let begun = 0;
    let gaveWay: string | null = null;
    try {
      gaveWay = await enclosed(session, env.pinned, async () => {
        await env.ledger(session).chunks.forbidCommit(env.ledgerSchema);
        return await givingWay(session, env, async (trial) => {
          const at: Server = { use: (work) => work(session), env, places: config, given: config.args, trial };
          for (const file of files) {
            if (!session.usable) return;
            begun += 1;
            walked = await stepOn(file, at, walked);
          }
        });
      });
    } catch (error) {
      if (begun > 0 || !session.usable) throw error;
      const why = `no second connection to see by who waits for its locks: ${messageOf(error)}`;
      return { walk: null, trial: { durationMs: 0, gaveWay: why } };
    }
    const why =
      gaveWay === null ? 'the transaction of the plan ended before it' : `the plan gave way: ${gaveWay}`;
    const left = await leftOver(files.slice(gaveWay === null ? begun : begun - 1), walked, why);
    return { walk: left, trial: { durationMs: durationMs(), gaveWay } };
  });
}

/** Names those that could not be planned any more. */
async function leftOver(files: readonly MigrationFile[], walk: Walk, unplanned: string): Promise<Walk> {
  const done = new Set(walk.planned.map(({ plan }) => plan.name));
  const left = files.filter(({ name }) => !done.has(name) && (walk.only ?? name) === name);
  const planned = await Promise.all(
    left.map(async (file) => {
      const kind = await kindOf(file).catch(() => null);
      return { plan: { ...nothingKnown, name: file.name, kind, unplanned }, problem: null };
    }),
  );
  return { ...walk, planned: [...walk.planned, ...planned] };
}
