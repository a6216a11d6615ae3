import type { GaugeName } from '../core/config/settings.ts';
import { gaugeNames } from '../core/config/settings.ts';
import { Gauge, type GaugeReading, nameOf } from '../core/throttle/gauge.ts';
import { LagClock, WalRate } from '../core/throttle/lag.ts';
import type { Limit, Limits } from '../core/throttle/limits.ts';
import { Patience } from '../core/throttle/patience.ts';
import type { Signal } from '../core/throttle/signal.ts';
import { codeOf, fail, messageOf } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { inOneTrip } from '../postgres/transaction.ts';
import { type ServerSignal, signalSql } from './signals-sql.ts';
import type { Ask, Source } from './source.ts';

/** The table that a run migrates. */
export interface WatchedTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
}

/** What a run does while its table is vacuumed; `auto`: it is slowed down by a vacuum against wraparound only. */
export type DuringVacuum = 'auto' | 'ignore' | 'slow' | 'hold';

/** What was read; an error where a signal could not be. */
type Values = Readonly<Partial<Record<ServerSignal, unknown>>>;

interface Memory {
  readonly clock: LagClock;
  readonly rate: WalRate;
  readonly table: WatchedTable | null;
  readonly nowMs: number;
  /** Somebody has set the limit. */
  readonly isAsked: boolean;
}

interface Reader {
  readonly needs: readonly ServerSignal[];
  /** Does without it. */
  readonly wants?: ServerSignal;
  /** Throws where the server does not show it to this role. */
  readonly read: (values: Values, memory: Memory) => readonly GaugeReading[];
}

interface Replica {
  readonly name: string;
  readonly hidden: boolean;
  readonly at: number | null;
  readonly lagMs: number | null;
}

interface Archive {
  readonly on: boolean;
  readonly at: number | null;
  readonly failed: number;
  readonly failing: boolean;
}

/** Thrown where the role has no right to see something. */
class Hidden {
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }
}

function replicasIn({ replicas }: Values): readonly (Replica & { readonly at: number })[] {
  const all = (replicas ?? []) as readonly Replica[];
  if (all.some(({ hidden }) => hidden)) throw new Hidden('replication lag');
  // One that has just connected has not told yet.
  return all.flatMap((replica) => (replica.at === null ? [] : [{ ...replica, at: replica.at }]));
}

function refuseUnseen(value: unknown): void {
  if ((value as { readonly hidden: boolean }).hidden) throw new Hidden('what other sessions do');
}

const readers: Readonly<Record<GaugeName, Reader>> = {
  maxLockWaiters: {
    needs: ['waiters'],
    read: ({ waiters }) => {
      const { count, pid } = waiters as { count: number; pid: number | null };
      return [{ subject: null, value: count, note: `pid ${pid}` }];
    },
  },
  maxLagBytes: {
    needs: ['wal', 'replicas'],
    read: (values) =>
      replicasIn(values).map(({ name, at }) => ({ subject: name, value: Math.max(0, walOf(values) - at) })),
  },
  maxLagMs: {
    needs: ['wal', 'replicas'],
    read: (values, { clock, nowMs }) => {
      clock.mark(walOf(values), nowMs);
      return replicasIn(values).map(({ name, at, lagMs }) => ({
        subject: name,
        value: clock.lagMs({ at, serverLagMs: lagMs }, nowMs),
      }));
    },
  },
  maxSlotBytes: {
    needs: ['wal', 'slots'],
    read: (values) => {
      const { slots } = values.slots as { slots: readonly { name: string; at: number }[] | null };
      return (slots ?? []).map(({ name, at }) => ({ subject: name, value: walOf(values) - at }));
    },
  },
  maxArchiveBytes: {
    needs: ['wal', 'archive'],
    wants: 'ready',
    read: (values) => {
      const { on, at, failed, failing } = values.archive as Archive;
      if (!on) return [];
      const value = at === null ? values.ready : Math.max(0, walOf(values) - at);
      if (typeof value !== 'number' && failed > 0) throw new Error('nothing was archived so far');
      const note = failing ? 'archive_command fails' : undefined;
      return typeof value === 'number' ? [{ subject: null, value, note }] : [];
    },
  },
  maxWalPerSecond: {
    needs: ['wal'],
    read: (values, { rate, nowMs }) => {
      const value = rate.add(walOf(values), nowMs);
      return value === null ? [] : [{ subject: null, value }];
    },
  },
  maxDeadTuples: {
    needs: ['deadTuples'],
    read: ({ deadTuples }, { table }) => [
      { subject: table === null ? null : `${table.schema}.${table.name}`, value: Number(deadTuples) },
    ],
  },
  maxActiveSessions: {
    needs: ['sessions'],
    read: ({ sessions }) => {
      refuseUnseen(sessions);
      return [{ subject: null, value: (sessions as { active: number }).active }];
    },
  },
  maxTransactionAgeMs: {
    needs: ['oldest'],
    read: ({ oldest }) => {
      refuseUnseen(oldest);
      const { name, ageMs } = oldest as { name: string | null; ageMs: number | null };
      return name === null || ageMs === null ? [] : [{ subject: null, value: ageMs, note: name }];
    },
  },
  minFreeConnections: {
    needs: ['connections'],
    // A limit that is this role's alone keeps connections from nobody else: less of it is no reason to slow down by default.
    read: ({ connections }, { isAsked }) => {
      const { all, own } = connections as { all: number; own: number | null };
      return [{ subject: null, value: isAsked ? Math.min(all, own ?? all) : all }];
    },
  },
};

const asksFor = (name: GaugeName): readonly ServerSignal[] => [
  ...readers[name].needs,
  ...[readers[name].wants ?? []].flat(),
];

const walOf = ({ wal }: Values): number => Number(wal);

const everyMs = 500;
// Whoever waits for a lock has it as soon as the chunks that are under way are committed.
const soonMs = 50;

/** Looks at what the server shows: everything in one statement. */
export class ServerSource implements Source {
  readonly name = 'the state of the server';
  readonly #options: ServerOptions;
  readonly #gauges = new Map<GaugeName, Known>();
  readonly #memory = { clock: new LagClock(), rate: new WalRate() };
  /** What could not be read, and that nobody has asked for: a server or a role that has it not will not get it. */
  readonly #missing = new Set<ServerSignal>();
  #isAwaited = false;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  get isAsked(): boolean {
    return Object.values(this.#options.limits()).some(({ isAsked }) => isAsked);
  }

  get everyMs(): number {
    return this.#isAwaited ? soonMs : everyMs;
  }

  async read(): Promise<readonly Signal[]> {
    const limits = this.#options.limits();
    const needed = this.#needed(limits);
    if (needed.length === 0) return [];
    const values = await this.#values(needed);
    const signals = gaugeNames.flatMap((name) => {
      const limit = limits[name];
      return limit === undefined ? [] : (this.#signal(name, limit, values) ?? []);
    });
    this.#isAwaited = signals.some(({ kind }) => kind === nameOf('maxLockWaiters'));
    return [...signals, ...this.#vacuum(values)];
  }

  #needed(limits: Limits): readonly ServerSignal[] {
    const { table, duringVacuum } = this.#options;
    const needed = new Set(gaugeNames.flatMap((name) => (limits[name] ? asksFor(name) : [])));
    if (duringVacuum !== 'ignore') needed.add('vacuums');
    for (const missing of this.#missing) if (!this.#isAskedFor(missing)) needed.delete(missing);
    if (table === null) for (const one of ofTable) needed.delete(one);
    return [...needed];
  }

  #isAskedFor(signal: ServerSignal): boolean {
    const limits = this.#options.limits();
    const isOf = (name: GaugeName): boolean => readers[name].needs.includes(signal);
    const isVacuum = signal === 'vacuums' && this.#options.duringVacuum !== 'auto';
    return isVacuum || gaugeNames.some((name) => limits[name]?.isAsked === true && isOf(name));
  }

  async #values(names: readonly ServerSignal[]): Promise<Values> {
    const { ask, settings, table } = this.#options;
    const limited = `${settings}; set local statement_timeout to '5s'`;
    const values = await ask((session) => readSignals(session, limited, names, table?.oid ?? '0'));
    for (const name of names) if (isForGood(values[name])) this.#missing.add(name);
    return values;
  }

  #signal(name: GaugeName, limit: Limit, values: Values): Signal | null {
    const now = performance.now();
    const fresh = { gauge: new Gauge(name), patience: new Patience(nameOf(name)), last: null };
    const known: Known = this.#gauges.get(name) ?? fresh;
    this.#gauges.set(name, known);
    try {
      const memory = { ...this.#memory, table: this.#options.table, nowMs: now, isAsked: limit.isAsked };
      const readings = readingsOf(name, values, memory);
      known.patience.read(now);
      known.last = known.gauge.see(readings, within(name, limit, values));
      return known.last;
    } catch (error) {
      // Until it is unknown for long enough, it is what it was.
      return limit.isAsked ? (known.patience.failed(whyNot(error), now) ?? known.last) : null;
    }
  }

  #vacuum({ vacuums: found }: Values): readonly Signal[] {
    const { duringVacuum, table } = this.#options;
    if (found === undefined || found instanceof Error) return [];
    const { vacuums } = found as { vacuums: readonly { pid: number; wraparound: boolean }[] | null };
    const [first] = (vacuums ?? []).filter(({ wraparound }) => wraparound || duringVacuum !== 'auto');
    if (first === undefined) return [];
    const kind = `vacuum of ${table?.schema}.${table?.name}${first.wraparound ? ' to prevent wraparound' : ''}`;
    const response = duringVacuum === 'hold' ? 'hold' : 'slow';
    return [{ kind, text: `${kind} (pid ${first.pid})`, response, isLoad: true }];
  }
}

/** What is kept of one signal from look to look. */
interface Known {
  readonly gauge: Gauge;
  readonly patience: Patience;
  last: Signal | null;
}

/** No right, no such function or view, not here: not what a server says that is busy or shuts down. */
function isForGood(value: unknown): boolean {
  return value instanceof Error && /^(?:42|0A|22|55000)/.test(codeOf(value) ?? '');
}

export interface ServerOptions {
  readonly ask: Ask;
  /** The statement that pins the settings of a transaction. */
  readonly settings: string;
  /** Null: none is known yet. */
  readonly table: WatchedTable | null;
  readonly limits: () => Limits;
  readonly duringVacuum: DuringVacuum;
}

const ofTable: readonly ServerSignal[] = ['vacuums', 'deadTuples'];

/** Throws an error of the server, or what says that the role may not see it. */
function readingsOf(name: GaugeName, values: Values, memory: Memory): readonly GaugeReading[] {
  const { needs, read } = readers[name];
  for (const need of needs) if (values[need] instanceof Error) throw values[need];
  if (needs.some((need) => !(need in values))) return [];
  return read(values, memory);
}

/** A default leaves a slot half of what the server keeps for it at most. */
function within(name: GaugeName, limit: Limit, { slots }: Values): Limit {
  if (name !== 'maxSlotBytes' || limit.isAsked) return limit;
  const { most } = slots as { most: number };
  return most > 0 ? { ...limit, value: Math.min(limit.value, most / 2) } : limit;
}

function whyNot(error: unknown): string {
  return error instanceof Hidden ? `the role may not see ${error.what}` : messageOf(error);
}

/** Reads these signals in one statement; where it fails, each in one of its own, and its error in place of those that fail. */
async function readSignals(
  session: Session,
  settings: string,
  names: readonly ServerSignal[],
  oid: string,
): Promise<Values> {
  const read = async (some: readonly ServerSignal[]): Promise<Values> => {
    const columns = some.map((name) => `(${signalSql[name]}) as "${name}"`).join(', ');
    const values = columns.includes('$1') ? [oid] : undefined;
    const { rows } = await inOneTrip(session, settings, () => session.query(`select ${columns}`, values));
    return rows[0] ?? {};
  };
  const failed = (error: unknown): Error => {
    if (!session.usable) throw error;
    return error instanceof Error ? error : new Error(messageOf(error));
  };
  try {
    return await read(names);
  } catch (error) {
    failed(error);
  }
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const found = await read([name]).catch(failed);
    values[name] = found instanceof Error ? found : found[name];
  }
  return values;
}

/** Throws PERMISSION where a limit that somebody has asked for is on what the role may not see. */
export async function refuseHidden(session: Session, settings: string, limits: Limits): Promise<void> {
  const asked = gaugeNames.filter((name) => limits[name]?.isAsked === true);
  const needed = new Set(asked.flatMap((name) => readers[name].needs));
  for (const one of ofTable) needed.delete(one);
  if (needed.size === 0) return;
  const values = await readSignals(session, settings, [...needed], '0');
  for (const name of asked) {
    try {
      readingsOf(name, values, {
        clock: new LagClock(),
        rate: new WalRate(),
        table: null,
        isAsked: true,
        nowMs: 0,
      });
    } catch (error) {
      if (!(error instanceof Hidden)) continue;
      const { rows } = await session.query('select current_user::text as role');
      throw fail('PERMISSION', {
        message: `${name} is set, but the role may not see ${error.what}`,
        hint: `grant pg_read_all_stats to ${JSON.stringify(rows[0]?.['role'])}`,
      });
    }
  }
}
