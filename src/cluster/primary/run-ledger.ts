import { mostListed } from '../../core/values/numbers.ts';
import type { Overrides } from '../../core/config/steering.ts';
import { UmzugClusterError } from '../../errors.ts';
import type { RunReading } from '../../ledger/run/controls.ts';
import { type HostMark, type HostSeen, unseenMs } from '../../ledger/look/hosts.ts';
import type { PointMark } from '../../ledger/look/points.ts';
import type { Run, RunTotals } from '../../ledger/run/rows.ts';
import { knowsRun } from '../../ledger/run/runs.ts';
import type { Session } from '../../postgres/session.ts';
import { inOneTrip, inOrder, reading } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../../run/context/environment.ts';
import { type Finished, failRun, finish } from '../../run/lifecycle/finish.ts';
import type { DataMigration } from '../../run/context/step.ts';
import { holderOf } from '../../run/lifecycle/held.ts';
import { quarantinedError } from '../../run/lifecycle/retry.ts';
import { lookAtChunks } from '../../run/context/chunk-waits.ts';
import { describeOld } from '../../run/lifecycle/register.ts';
import type { LaneLook } from '../../core/size/lanes.ts';
import type { Ask } from '../../throttle/source.ts';
import type { Control } from '../worker/control.ts';
import { rewoundError } from './rewound.ts';

// What people look at need not be younger.
const tellEveryMs = 1_000;

/** One look at a run. */
export interface RunStanding {
  readonly sums: RunTotals;
  readonly reading: RunReading;
  readonly others: readonly HostSeen[];
  /** Rows by which it has less than when it was last looked at: the database went back in time. */
  readonly undone: number;
}

/** A run as a host leaves it. */
export interface Left {
  readonly sums: RunTotals;
  /** Hosts that were seen working on it a moment ago. */
  readonly others: readonly HostSeen[];
}

/** What a primary asks of the ledger about one run, and writes there. */
export class RunLedger {
  readonly #control: Control;
  readonly #env: RunEnvironment;
  #run: Run;
  #toldAt = -Infinity;
  #hasLeft = false;
  /** As last read. */
  #rows = 0;
  #overrides: Overrides = {};

  constructor(control: Control, env: RunEnvironment, run: Run) {
    this.#control = control;
    this.#env = env;
    this.#run = run;
  }

  /** How the run stands: sums over its ranges, what was said to it, and the other hosts. */
  read(): Promise<RunStanding> {
    const { id } = this.#run;
    const { ledger, process } = this.#env;
    return this.#single(async (session) => {
      const [sums, now, hosts] = await Promise.all([
        ledger(session).ranges.totals(id),
        ledger(session).controls.read(id),
        ledger(session).hosts.list(id),
      ]);
      const others = hosts.filter((host) => host.process !== process);
      const isSame = now.epoch === this.#run.epoch;
      const undone = isSame ? Math.max(0, this.#rows - sums.rows) : 0;
      if (isSame) this.#rows = sums.rows;
      this.#overrides = now.overrides;
      return { sums, reading: now, others, undone };
    });
  }

  /** What operators had set when the run was last read. */
  get overrides(): Overrides {
    return this.#overrides;
  }

  /** Asks something that is good to know, beside the work. */
  readonly ask: Ask = async (work) => {
    const { answerTimeoutMs } = this.#env.session;
    const asking = async (session: Session): Promise<() => Awaited<ReturnType<typeof work>>> => {
      try {
        const answer = await work(session);
        return () => answer;
      } catch (error) {
        if (!session.usable) throw error;
        return () => {
          throw error;
        };
      }
    };
    const answered = await this.#control.attempt(asking, answerTimeoutMs);
    if (answered === null) throw new Error('the database does not answer');
    return answered();
  };

  /** What the chunks in flight wait for; null where the database does not answer: others find out. */
  look(): Promise<LaneLook | null> {
    const { pinned, session } = this.#env;
    const look = (on: Session): Promise<LaneLook> => inOneTrip(on, pinned, () => lookAtChunks(on));
    return this.#control.attempt(look, session.answerTimeoutMs);
  }

  /** Asks something that is good to know, on this connection; null where the database does not answer. */
  attempt<T>(work: (session: Session) => Promise<T>): Promise<T | null> {
    return this.#control.attempt(work, this.#env.session.answerTimeoutMs);
  }

  /** For whose lock, or for what of the server, chunks wait at this moment; null: for nothing. */
  waitOfChunks(): Promise<string | null> {
    return this.#single(async (session) => {
      const [first] = await this.#env.ledger(session).blockers.list();
      if (first !== undefined) return `a lock of ${describeOld(first)}`;
      const wait = await this.#env.ledger(session).blockers.serverWait();
      if (wait === null) return null;
      const why = wait.event === 'SyncRep' ? ': a synchronous standby does not confirm a commit' : '';
      return `the server, ${wait.event} for ${Math.round(wait.seconds)} s${why}`;
    });
  }

  /** Best effort, and at most once a second: tells others of this host, and how the run goes. `session`: one that is at hand. */
  async tell(mark: () => HostMark & PointMark, session?: Session): Promise<void> {
    const now = performance.now();
    if (this.#hasLeft || now < this.#toldAt + tellEveryMs) return;
    this.#toldAt = now;
    const { ledger, process, pinned } = this.#env;
    // What people look at may be lost with the server, and must not wait for a standby that keeps others waiting.
    const write = (on: Session): Promise<unknown> =>
      inOneTrip(on, `${pinned}; set local synchronous_commit to off`, () => {
        const { hosts, points } = ledger(on);
        const told = mark();
        return inOrder([hosts.mark(this.#run.id, process, told), points.add(this.#run.id, process, told)]);
      });
    try {
      await (session === undefined ? this.#control.use(write) : write(session));
    } catch {
      // Whoever needs the connection finds out.
    }
  }

  /** Who has paused or cancelled it, and when; empty where that is not known. */
  holder(run: Run): Promise<string> {
    return this.#single((session) => holderOf(this.#env.ledger(session), run)).catch(() => '');
  }

  /** The sums of the run at this moment. */
  sums(): Promise<RunTotals> {
    return this.#single((session) => this.#env.ledger(session).ranges.totals(this.#run.id));
  }

  /** Best effort: from now on this host does not pass for one that works on the run. */
  async stopTelling(): Promise<void> {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    const forget = (on: Session): Promise<void> =>
      inOneTrip(on, this.#env.pinned, () =>
        this.#env.ledger(on).hosts.forget(this.#run.id, this.#env.process),
      );
    await this.#control.attempt(forget, this.#env.session.answerTimeoutMs);
  }

  /** This host works on the run no longer. What it leaves; null where the database does not answer. */
  async leave(): Promise<Left | null> {
    await this.stopTelling();
    const { ledger, pinned, session } = this.#env;
    const read = (on: Session): Promise<Left> =>
      inOneTrip(on, pinned, async () => {
        const { hosts, ranges } = ledger(on);
        const [sums, all] = await Promise.all([ranges.totals(this.#run.id), hosts.list(this.#run.id)]);
        return { sums, others: all.filter(({ seenAgoMs }) => seenAgoMs < unseenMs) };
      });
    return await this.#control.attempt(read, session.answerTimeoutMs);
  }

  /** Ends the run where no range is open, or lays out its next sweep; the run as it is afterwards. */
  async finish(migration: DataMigration): Promise<Finished> {
    const about = { runId: this.#run.id, migration };
    return await this.#control.use((session) => finish(session, this.#env, about));
  }

  /** The run continues in another epoch, and this host with it. */
  follow(run: Run): void {
    this.#run = run;
  }

  /** The end of a run that the ledger does not know any more; null where it does, or where it cannot be asked. */
  async rewound(): Promise<Error | null> {
    const { ledgerSchema } = this.#env;
    const isKnown = await this.#control
      .use((session) => reading(session, () => knowsRun(session, ledgerSchema, this.#run)))
      .catch(() => true);
    return isKnown ? null : rewoundError(this.#run, this.#rows);
  }

  /** Best effort: marks the run as failed, where that is what stopped it. */
  async markFailed(error: unknown): Promise<void> {
    if (!(error instanceof UmzugClusterError) || error.code !== 'MIGRATION_FAILED') return;
    const { message } = error;
    const mark = (session: Session): Promise<void> => failRun(session, this.#env, this.#run, message);
    try {
      await this.#control.use(mark);
    } catch {
      // `up` finds out by itself.
    }
  }

  /** Throws where rows of the run are quarantined: names them. */
  async throwQuarantined(): Promise<void> {
    const { ledger } = this.#env;
    const found = await this.#single((on) => ledger(on).quarantine.list(this.#run.id, mostListed));
    if (found.count > 0) throw quarantinedError(this.#run, found);
  }

  #single<T>(statement: (session: Session) => Promise<T>): Promise<T> {
    const { pinned } = this.#env;
    return this.#control.use((session) => inOneTrip(session, pinned, () => statement(session)));
  }
}
