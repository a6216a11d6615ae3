import { setTimeout as sleep } from 'node:timers/promises';
import { matchingOf } from '../../core/size/survey.ts';
import { type HostMark, unseenMs } from '../../ledger/look/hosts.ts';
import { type OldTransaction, olderTransactions } from '../../ledger/look/old-transactions.ts';
import type { FailureFacts } from '../../ledger/run/failures.ts';
import type { Limited } from '../../ledger/run/controls.ts';
import type { Run, RunPlan } from '../../ledger/run/rows.ts';
import { fail } from '../../errors.ts';
import { ensureLedger } from '../../ledger/schema.ts';
import type { TurnOptions } from '../../ledger/turn.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip, inOrder, plainSettings, withTransaction } from '../../postgres/transaction.ts';
import { folderOf } from '../../migration/file/folder.ts';
import { isNumberedAlike } from '../../migration/select/identity.ts';
import { refuseOtherArgs, shownArgs } from '../checks/args.ts';
import { isSpent, refuseOtherFile, refuseOtherPlan, revertingError } from '../checks/drift.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { undoOf } from '../analyze/undo.ts';
import { refuseUnfitServer } from './fit-server.ts';
import { refuseHeld, refuseUnlessRunning } from './held.ts';
import { probeLayout, stayByKey } from './choose-order.ts';
import { blockLayout, makeLayout } from '../order/layout.ts';
import { refuseQuarantined } from './retry.ts';
import type { Plan, PlannedMigration } from '../analyze/plan.ts';
import { boundsOf, inBlocksError, keepToPart, limitedError, planByKey } from '../order/key-part.ts';
import { refuseMisplaced, refuseUnsound } from './soundness.ts';

/** How work on a migration is started: one host after another. */
export interface Turn {
  readonly turn: TurnOptions;
  /** Throws where the order of migrations forbids it, once it is this host's turn. */
  readonly refuse: (session: Session) => Promise<void>;
}

/** How a started run is resumed. */
export interface TakeUp {
  /** Also one that was paused or cancelled. */
  readonly lift: boolean;
  /** None but one that is running. */
  readonly only?: 'running' | undefined;
  /** What to do where another host is working on it. */
  readonly others: 'join' | 'leave';
  /** Whether it is to stop after some rows: nobody joins it unasked, also when it has stopped. */
  readonly limited?: Limited;
}

/**
 * Opens the run of a migration, or resumes the one that is live (protocol T0). Null where another host has
 * executed it in the meantime. Refuses where the file or its meaning is not what the run began with, and a run that was
 * paused or cancelled unless `lift` is given.
 */
export async function registerUp(
  session: Session,
  env: RunEnvironment,
  { migration, plan }: PlannedMigration,
  { again, turn, refuse, ...how }: Turn & TakeUp & { readonly again: boolean },
): Promise<Run | null> {
  const ledger = env.ledger(session);
  return await attended(session, env, `${env.pinned}; ${env.unhurried}`, async () => {
    await ensureLedger(session, env.ledgerSchema, { ...turn, begin: env.hurried });
    await refuseUnfitServer(session, env);
    const [live, isDone] = await inOrder([
      ledger.runs.findLive(migration.name, 'up'),
      ledger.migrations.has(migration.name),
    ]);
    // One that is executed may be run once more, and be started.
    if (!again && live === null && isDone) return null;
    if (how.only !== undefined) {
      refuseUnlessRunning(migration.name, live);
      if (live !== null && (await ledger.controls.isLimited(live.id))) throw limitedError(migration.name);
    }
    await refuse(session);
    // To be run again: what was done of it is gone with the table.
    const isGone = await refuseUnsound(session, env, migration.name, again ? 'recreated' : null);
    if (live !== null) {
      const facts = await ledger.failures.facts(live.id);
      if (!isGone && !isSpent(live, migration, facts)) {
        return await resume(session, env, live, { ...how, migration, plan, facts });
      }
      await ledger.runs.changeState(live.id, 'reverting');
      await ledger.runs.changeState(live.id, 'reverted');
    }
    const stored = await planOf(session, migration.name, plan, how.limited);
    const undo = await undoOf(session, env, migration, plan.base);
    const run = await ledger.runs.insert({
      name: migration.name,
      direction: 'up',
      reverts: null,
      plan: undo === null ? stored : { ...stored, undo },
      ...migration.hashes,
      planSha256: plan.sha256,
      estimatedRows: matchingOf(plan.stored.survey) ?? -1,
    });
    if (undo !== null) await ledger.images.createPartition(run.id);
    const [, laidOut] = await inOrder([
      ledger.controls.limit(run.id, how.limited ?? false),
      layOutAtOnce(session, env, run),
      ledger.history.record('started', run, shownArgs(run)),
      ledger.migrations.noteFolder(run.name, folderOf(migration.path)),
    ]);
    return laidOut;
  });
}

/** What the ledger keeps of a plan. Refuses a part of the keys that it cannot keep to, before anything is written. */
async function planOf(
  session: Session,
  name: string,
  { stored, base }: Plan,
  limited: Limited = false,
): Promise<RunPlan> {
  if (typeof limited === 'boolean') return stored;
  const plan = planByKey(name, stored);
  await boundsOf(session, base, limited);
  return plan;
}

// Before it has done anything.
const atFirst: HostMark = {
  workers: 1,
  rowsPerSecond: null,
  etaSeconds: null,
  chunkSize: 0,
  waiting: null,
  throttled: null,
};

/**
 * A transaction that begins or resumes a run, and notes that this host works on it: one that nobody works on is shown
 * as interrupted.
 */
export async function attended(
  session: Session,
  env: RunEnvironment,
  begin: string,
  take: () => Promise<Run | null>,
): Promise<Run | null> {
  return await withTransaction(session, begin, async () => {
    const run = await take();
    if (run !== null) await env.ledger(session).hosts.mark(run.id, env.process, atFirst);
    return run;
  });
}

/** Lays a new run out, unless it has to wait for older transactions: mostly there are none. */
export async function layOutAtOnce(session: Session, env: RunEnvironment, run: Run): Promise<Run> {
  const mustWait =
    env.tuning.waitForOldTransactions && (await olderTransactions(session, run.startXid)).length > 0;
  return mustWait ? run : await layOutRun(session, env, run);
}

/**
 * Lays out what a run goes over, when no transaction is writing any more that was when it began: what these have
 * written is visible then, so the largest key and the last block are looked for now and not before. Any host may call
 * it, any number of times. Returns the run as it is afterwards.
 */
async function layOutRun(session: Session, env: RunEnvironment, { id }: Run): Promise<Run> {
  const ledger = env.ledger(session);
  const { run } = await ledger.runs.lock(id);
  if (run.isLaidOut) return run;
  const up = run.reverts === null ? null : await ledger.runs.read(run.reverts);
  if (up !== null && run.plan.images === undefined && hasKnownRanges(up)) {
    await ledger.ranges.layOutDone(up.id, id);
    return await ledger.runs.markLaidOut(id, up.stopKey);
  }
  const { rowsPerBlock, auto } = run.plan;
  const lay =
    auto?.state === 'undecided' ? probeLayout : rowsPerBlock === undefined ? makeLayout : blockLayout;
  const layout = await lay(session, run.plan, env.tuning.workers);
  await ledger.ranges.layOut(id, layout);
  await keepToPart(session, env, run);
  return await ledger.runs.markLaidOut(id, layout.stopKey);
}

/**
 * Whether the way back of a run goes over what it has done, which is final by now. A run of blocks moves its rows, and
 * one that has swept has gone over all keys that there were: so does the way back, over those that there are now.
 */
export function hasKnownRanges({ pass, plan }: Run): boolean {
  return pass === 0 && plan.rowsPerBlock === undefined;
}

async function resume(
  session: Session,
  env: RunEnvironment,
  run: Run,
  {
    migration,
    plan,
    lift,
    others,
    facts,
    limited = false,
  }: PlannedMigration & TakeUp & { readonly facts: FailureFacts },
): Promise<Run> {
  const ledger = env.ledger(session);
  if (run.state === 'reverting') throw revertingError(migration.name);
  if (!lift) await refuseHeld(ledger, run);
  refuseOtherFile(run, migration.hashes, facts);
  refuseOtherArgs(run, migration);
  refuseOtherPlan(run, plan);
  await refuseMisplaced(session, env, run, plan);
  if (run.state === 'running') {
    const isFree = others === 'join' || (await ledger.hosts.unattendedMs(run.id)) !== null;
    if (isFree) {
      const begun = await limit(session, env, run, limited);
      await recordAttempt(session, env, begun);
      return await renumbered(session, env, begun, plan);
    }
    throw leftToOthers(run.name, 'another host is working on it');
  }
  await refuseQuarantined(session, env, run);
  await ledger.ranges.resetRetries(run.id);
  await renumbered(session, env, await limit(session, env, run, limited), plan);
  await ledger.history.record('resumed', run);
  return await ledger.runs.changeState(run.id, 'running');
}

/** Notes how a run that is resumed is limited from now on, and opens of its ranges what that allows. */
async function limit(session: Session, env: RunEnvironment, run: Run, limited: Limited): Promise<Run> {
  const { controls, parts, runs } = env.ledger(session);
  await controls.limit(run.id, limited);
  await parts.unpark(run.id);
  if (typeof limited === 'boolean') return run;
  if (run.plan.rowsPerBlock !== undefined) throw inBlocksError(run.name, run.plan);
  if (run.plan.auto !== undefined) await stayByKey(session, env, (await runs.lock(run.id)).run);
  await keepToPart(session, env, run);
  return await runs.read(run.id);
}

/** Records that this process works on a run that is under way: with others, or in place of those that have left it. */
export async function recordAttempt(session: Session, env: RunEnvironment, run: Run): Promise<void> {
  const ledger = env.ledger(session);
  const others = await ledger.hosts.list(run.id);
  const isAttended = others.some(({ seenAgoMs }) => seenAgoMs < unseenMs);
  await ledger.history.record(isAttended ? 'joined' : 'resumed', run);
}

/** A run as it is resumed after a restore, where its table and its columns have other numbers. */
export async function renumbered(session: Session, env: RunEnvironment, run: Run, plan: Plan): Promise<Run> {
  const ledger = env.ledger(session);
  if (isNumberedAlike(run.plan.base, plan.base)) return run;
  await ledger.runs.adopt(run.id, { ...run, plan: { ...run.plan, base: plan.base } });
  return await ledger.runs.read(run.id);
}

/** The end of an `up` that is not to join others. Not success: it is not done yet. */
export function leftToOthers(name: string, reason: string): Error {
  return fail('STOPPED', {
    message: `${name} is left to other hosts: ${reason}`,
    detail: 'nothing was run here',
    hint: 'wait until it is done: umzug-cluster up --wait',
  });
}

/** "transaction of pid 99, 8 s old"; of a prepared one, which no client is behind, also how to end it. */
export function describeOld({ pid, ageSeconds, prepared }: OldTransaction): string {
  const who = pid === null ? describePrepared(prepared ?? null) : `transaction of pid ${pid}`;
  return ageSeconds === null ? who : `${who}, ${Math.round(ageSeconds)} s old`;
}

function describePrepared(prepared: OldTransaction['prepared']): string {
  if (prepared == null) return 'a prepared transaction';
  const gid = `'${prepared.gid.replaceAll("'", "''")}'`;
  return `prepared transaction ${gid} of role "${prepared.owner}" (end it with COMMIT PREPARED ${gid} or ROLLBACK PREPARED ${gid})`;
}

const pollMs = 50;

/**
 * Waits until every transaction that was writing when the run began has ended, and lays the run out; without the wait a
 * row that such a transaction inserts would be missed, behind a cursor or beyond the last key. Returns the run as it is
 * then. Ends early where the run is taken away from this host: then no chunk can begin.
 */
export async function waitForOlder(
  session: Session,
  env: RunEnvironment,
  run: Run,
  on: {
    readonly waiting: (reason: string | null) => void;
    readonly signal: AbortSignal;
    /** Is given the connection between two looks. */
    readonly between: (session: Session) => Promise<void>;
  },
): Promise<Run> {
  const { ledger } = env;
  let isCurrent = true;
  while (env.tuning.waitForOldTransactions) {
    const [[oldest], { state, epoch }] = await inOneTrip(session, plainSettings, () =>
      Promise.all([olderTransactions(session, run.startXid), ledger(session).controls.read(run.id)]),
    );
    isCurrent = state === 'running' && epoch === run.epoch;
    if (oldest === undefined || !isCurrent) break;
    on.waiting(describeOld(oldest));
    await on.between(session);
    await sleep(pollMs, undefined, { signal: on.signal });
  }
  on.waiting(null);
  return isCurrent ? await withTransaction(session, env.pinned, () => layOutRun(session, env, run)) : run;
}
