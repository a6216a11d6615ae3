import type { Config } from '../../config/config.ts';
import type { LaneWaits } from '../../core/size/lanes.ts';
import type { ArgValues } from '../../core/config/args.ts';
import type { LogRecord } from '../../core/config/log-events.ts';
import type { ErrorCode, ErrorParts } from '../../errors.ts';
import type { Direction } from '../../ledger/run/rows.ts';
import type { WrittenLevel } from '../../logger.ts';
import type { Happening } from '../../notify/happening.ts';
import type { ServerFacts } from '../../postgres/transaction.ts';
import type { Takeover } from '../../run/lane/lane-pool.ts';
import type { Ruling } from '../../throttle/gate.ts';
import type { Carrier } from '../../telemetry/trace.ts';
import type { ChunkReport } from '../../run/lane/lane.ts';

/** What a worker needs to join a run; it reads everything else from the ledger. */
export interface Job {
  readonly config: Config;
  /** True where functions in the configuration could not be sent: the worker loads the knexfile itself. */
  readonly reloadKnexfile: boolean;
  readonly server: ServerFacts;
  readonly migration: { readonly name: string; readonly path: string };
  readonly direction: Direction;
  readonly runId: string;
  /** The values of its migration's arguments. On this channel, not on the command line, where others could read them. */
  readonly args: ArgValues;
  /** Of the command, in the name of each of its processes. */
  readonly token: string;
  readonly inherited: Takeover;
  /** Where its spans belong; left out where nobody listens. */
  readonly above?: Carrier;
}

/** An error as it crosses between processes: without its cause, which may hold anything. */
export interface SentError extends Omit<ErrorParts, 'cause'> {
  readonly code: ErrorCode;
}

/** From the primary to a worker. `drain`: begin no chunk. `abort`: destroy running chunks. */
export type ToWorker =
  | { readonly type: 'work'; readonly job: Job }
  | { readonly type: 'drain' }
  | { readonly type: 'abort' }
  /** What chunks in flight wait for: its number of lanes follows from it. */
  | { readonly type: 'waits'; readonly waits: LaneWaits }
  /** What holds its chunks back; it counts until the next word. */
  | { readonly type: 'throttle'; readonly ruling: Ruling }
  | { readonly type: 'leave' };

/** From a worker to the primary. `hello` comes first: what is sent before its listener exists is lost. */
export type ToPrimary =
  | { readonly type: 'hello' }
  | { readonly type: 'chunk'; readonly report: ChunkReport }
  | {
      readonly type: 'log';
      readonly level: WrittenLevel;
      readonly record: LogRecord;
      readonly message: string | undefined;
    }
  /** An event of the history that it has committed. */
  | { readonly type: 'told'; readonly happening: Happening }
  | { readonly type: 'finished' }
  | { readonly type: 'failed'; readonly error: SentError };

/** Exit codes of a worker that author code has ended; others tell nothing but that it died. */
export const workerExit = { byAuthor: 86, blocked: 87 } as const;
