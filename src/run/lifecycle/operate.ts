import { type Decision, type Verb, decide } from '../../core/config/operate.ts';
import type { Overrides } from '../../core/config/steering.ts';
import { fail } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { upgradeLedger } from '../../ledger/schema.ts';
import type { Session } from '../../postgres/session.ts';
import { withTransaction } from '../../postgres/transaction.ts';
import { type RunEnvironment, byUser } from '../context/environment.ts';
import { abandonRollback } from './revert.ts';

/** What an operator's word came to. */
export interface Operated {
  readonly run: Run;
  /** False where the run was so already. */
  readonly changed: boolean;
}

const eventOf = { pause: 'paused', resume: 'resumed', cancel: 'cancelled' } as const;

/** What becomes of a request, with the run that it is about; nothing is changed. Throws USAGE where it cannot be. */
export async function foresee(
  session: Session,
  env: RunEnvironment,
  name: string,
  verb: Verb,
): Promise<{ readonly run: Run; readonly decision: Exclude<Decision, { kind: 'refuse' }> }> {
  const ledger = env.ledger(session);
  const down = await ledger.runs.findLive(name, 'down');
  const up = await ledger.runs.findLive(name, 'up');
  const decision = decide(verb, {
    name,
    isExecuted: await ledger.migrations.has(name),
    up: up?.state ?? null,
    down: down?.state ?? null,
    isPartlyBack: down !== null && (await ledger.ranges.totals(down.id)).chunks > 0,
  });
  const run = down ?? up;
  if (decision.kind !== 'refuse' && run !== null) return { run, decision };
  const { why, hint } =
    decision.kind === 'refuse' ? decision : { why: `${name} has not started`, hint: undefined };
  throw fail('USAGE', { message: why, hint });
}

/**
 * Pauses, resumes or cancels a run, on all hosts: a new epoch, after which no chunk of the old one can be
 * committed. Waits for those that are past their last check, which takes milliseconds.
 */
export async function operate(
  session: Session,
  env: RunEnvironment,
  name: string,
  verb: Verb,
): Promise<Operated> {
  const ledger = env.ledger(session);
  return await withTransaction(session, env.pinned, async () => {
    await upgradeLedger(session, env.ledgerSchema);
    const { run: found } = await foresee(session, env, name, verb);
    await ledger.runs.lock(found.id);
    // As it is now that nobody else can change it.
    const { run, decision } = await foresee(session, env, name, verb);
    if (decision.kind === 'already') return { run, changed: false };
    if (decision.kind === 'abandon') return { run: await abandonRollback(session, env, run), changed: true };
    if (decision.to === 'running') await ledger.ranges.resetRetries(run.id);
    const error = decision.to === 'cancelled' ? run.error : null;
    await ledger.history.record(eventOf[verb], run, byUser(env));
    return { run: await ledger.runs.changeState(run.id, decision.to, error), changed: true };
  });
}

/** Changes settings of the run of a migration that is started and not ended; what is set afterwards. Throws USAGE. */
export async function adjust(
  session: Session,
  env: RunEnvironment,
  name: string,
  change: { readonly set: Overrides; readonly cleared: readonly string[] },
): Promise<{ readonly run: Run; readonly overrides: Overrides }> {
  const ledger = env.ledger(session);
  return await withTransaction(session, env.pinned, async () => {
    await upgradeLedger(session, env.ledgerSchema);
    const run = (await ledger.runs.findLive(name, 'down')) ?? (await ledger.runs.findLive(name, 'up'));
    if (run === null) throw await notUnderWay(session, env, name);
    const overrides = await ledger.controls.change(run.id, change);
    const cleared = Object.fromEntries(change.cleared.map((key) => [key, 'default']));
    await ledger.history.record('changed', run, {
      settings: { ...change.set, ...cleared },
      ...byUser(env),
    });
    return { run, overrides };
  });
}

async function notUnderWay(session: Session, env: RunEnvironment, name: string): Promise<Error> {
  const isDone = await env.ledger(session).migrations.has(name);
  return fail('USAGE', {
    message: `${name} ${isDone ? 'is executed' : 'has not started'}: it has no run whose settings could be changed`,
    hint: isDone
      ? `see it: umzug-cluster status ${name}`
      : 'pass settings to up as flags or set them in the knexfile; see docs/reference.md',
  });
}
