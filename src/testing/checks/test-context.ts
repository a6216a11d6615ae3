import type { Place } from '../command/command.ts';
import type { TestRequest } from '../contract/messages.ts';
import type { Snapshot } from '../database/snapshot.ts';

/** What the conductor needs from its process. */
export interface AuthorCallbacks {
  /** Calls one of the author's functions on a database; null, or the message of what it threw. */
  call(no: number, url: string): Promise<string | null>;
  /** Aborts when the test's process is gone. */
  readonly signal: AbortSignal;
}

/** What the checks of one test work with. */
export interface TestContext {
  readonly request: Pick<TestRequest, 'check' | 'chunkSize' | 'idempotent'>;
  /** Name of the migration under test. */
  readonly name: string;
  /** All files of the test: one may be given arguments that only another one declares. */
  readonly files: readonly string[];
  readonly place: Place;
  readonly callbacks: AuthorCallbacks;
  readonly seed: Snapshot;
  /** A database with the seed in it. */
  fresh(): Promise<string>;
  /** A copy of a database that nobody is connected to. */
  copy(url: string): Promise<string>;
  /** All rows that are in a database now. */
  look(url: string): Promise<Snapshot>;
}
