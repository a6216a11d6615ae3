import type { Signal } from '../core/throttle/signal.ts';
import type { Session } from '../postgres/session.ts';

/** Asks something of the database on a connection that is there. Rejects where there is none, or it does not answer. */
export type Ask = <T>(work: (session: Session) => Promise<T>) => Promise<T>;

/** Something that is read again and again while a run works. */
export interface Source {
  /** What messages call it where it cannot be read. */
  readonly name: string;
  /** Somebody has asked for it: a run does not work without knowing it. */
  readonly isAsked: boolean;
  /** How long it is left alone after each reading. */
  readonly everyMs: number;
  /** What it asks for. Rejects where it cannot be read. */
  read(signal: AbortSignal): Promise<readonly Signal[]>;
}
