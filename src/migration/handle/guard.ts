import { setImmediate as macrotask } from 'node:timers/promises';
import type { Knex } from 'knex';
import { fail, codeOf } from '../../errors.ts';
import { overLimit } from '../../core/errors/statement-limits.ts';
import type { Result, Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import { chunkKnex } from './chunk-client.ts';
import type { QueryObject } from './driver.ts';
import type { Database } from '../contract/contract.ts';
import { forbiddenIn } from './forbidden.ts';
import { isTransient, mistakeBehind } from './mistake-behind.ts';
import * as mistakes from './mistakes.ts';
import { type KnownUpdate, knownUpdate } from './known-update.ts';
import { statementsOf } from '../sql/statements.ts';
import { accountFor, listenForStrays, reportUnhandled } from './unhandled-errors.ts';
import { type Written, nothingWritten, withStatement } from './written.ts';

/**
 * The handle that author code gets: knex on the chunk's own connection, inside its open transaction. It
 * counts statements, keeps the first SQL error (knex lets a swallowed one pass as success), refuses to
 * end the transaction, and stops working when `update` has returned.
 */
export interface GuardedDatabase {
  readonly db: Database;
  /** The unproxied knex, for building the runner's own queries with the author's settings. */
  readonly builder: Knex;
  /** Waits for `work`, then checks what it did. Throws what the author should read. Once per handle. */
  settle(work: () => unknown, expect: Expectation): Promise<unknown>;
  /** What the statements so far say of the rows they wrote. */
  readonly written: () => Written;
  /** Has `send` send something ahead of each of the author's statements; null: nothing. */
  readonly ahead: (send: Ahead) => void;
  /** Has images kept of what the author's statements change. */
  readonly imaging: (imaging: Imaging) => void;
  /** Throws where `db` was used after `settle`: what was refused then is missing. */
  verify(): void;
  /** What a later error means where author code swallowed one before; else the error itself. */
  explain(error: unknown): unknown;
  /** After this every use throws. */
  close(): void;
}

/** Called with the text of a statement and, where that is known, what it writes. */
export type Ahead = (sql: string, known: KnownUpdate | undefined) => Promise<unknown> | null;

/** A statement of which images are kept. */
export interface Imaged {
  readonly sql: string;
  /** The author's, where another statement is sent instead of it. */
  readonly command: 'UPDATE' | 'INSERT' | null;
  /** It returns the author's rows; else one row with their number. */
  readonly returnsRows: boolean;
  /** To be called when it is answered, with the number of rows that it has written. */
  readonly behind: (rows: number) => Promise<unknown> | null;
}

/** Keeps what rows held before and after the author's statements. */
export interface Imaging {
  /** Called before each of them: what is to be sent; null: the statement as it is. */
  ahead(sql: string, known: KnownUpdate | undefined, bindings: readonly unknown[]): Promise<Imaged | null>;
}

export interface Expectation {
  /** Name of the function that runs, for messages: `update`, `down.update`, `up`. */
  readonly what: string;
  readonly allowNoQueries: boolean;
  /** Whether the process has a connection to the same server that is none of ours. */
  readonly hasOwnConnection?: () => boolean;
}

type Mode = Readonly<Record<'transaction' | 'ddl', boolean>>;

/** Binds a knex handle to `session`, whose transaction must be open. One handle serves one chunk. */
export function guardDatabase(
  session: Session,
  knexConfig: Knex.Config,
  mode: Mode = { transaction: true, ddl: false },
): GuardedDatabase {
  const guard = new Guard(session, knexConfig, mode);
  return {
    builder: guard.knex.builder,
    db: new Proxy(guard.knex.builder, {
      get: (target, property) => guard.property(target, property),
    }) as Database,
    written: () => guard.written,
    ahead: (send) => void (guard.ahead = send),
    imaging: (imaging) => void (guard.images = imaging),
    explain: (error) => guard.explain(error),
    verify: () => guard.verify(),
    close: () => guard.close(),
    settle: (work, expect) => guard.settle(work, expect),
  };
}

// `over`: `update` has returned and all was well. `failed`: what comes late follows from the failure.
type Phase = 'open' | 'over' | 'failed';

class Guard {
  readonly knex;
  written: Written = nothingWritten;
  ahead: Ahead | null = null;
  images: Imaging | null = null;
  readonly #session: Session;
  readonly #isTransaction: boolean;
  readonly #isDdlAllowed: boolean;
  /** Errors that the database answered with, as opposed to what author code threw by itself. */
  readonly #fromDatabase = new WeakSet<object>();
  #phase: Phase = 'open';
  #statements = 0;
  #inFlight = 0;
  #what = 'update';
  #firstError: unknown = null;
  /** The first thing that was refused; author code may have caught the error. */
  #refused: Error | null = null;
  #hasEnded = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(session: Session, knexConfig: Knex.Config, { transaction, ddl }: Mode) {
    this.#session = session;
    this.#isTransaction = transaction;
    this.#isDdlAllowed = ddl;
    this.knex = chunkKnex(knexConfig, {
      transacting: transaction,
      check: (sql, bindings) => this.#check(sql, bindings),
      run: (query) => this.#run(query),
      refuse: (message, hint) => this.#refuse(fail('MIGRATION_FAILED', { message, hint })),
    });
  }

  property(target: Knex, property: string | symbol): unknown {
    if (property !== 'commit' && property !== 'rollback') return Reflect.get(target, property) as unknown;
    return () => {
      throw this.#refuse(mistakes.ending(property));
    };
  }

  close(): void {
    if (this.#phase === 'open') this.#phase = 'failed';
  }

  verify(): void {
    if (this.#refused !== null) throw this.#refused;
  }

  explain(error: unknown): unknown {
    if (this.#refused !== null) return this.#refused;
    if (this.#hasEnded) return mistakes.ended(this.#what);
    // The server's word that the transaction is aborted may come after the error that did it.
    if (codeOf(error) === '25P02' && this.#firstError !== null) return this.#swallowed();
    if (this.#statements === 0) return error;
    return mistakeBehind(error, this.#what) ?? error;
  }

  async settle(work: () => unknown, expect: Expectation): Promise<unknown> {
    const { what } = expect;
    this.#what = what;
    let leaveUnhandled: (error: unknown) => void = () => undefined;
    const stray = new Promise<never>((_resolve, reject) => {
      leaveUnhandled = (error) => reject(mistakes.unhandled(what, error));
    });
    stray.catch(() => undefined);
    const stopListening = listenForStrays((error) => leaveUnhandled(error));
    try {
      const value = await Promise.race([this.#call(work), stray]);
      await Promise.race([this.#inspect(expect), stray]);
      this.#phase = 'over';
      return value;
    } catch (error) {
      this.#phase = 'failed';
      throw this.explain(error);
    } finally {
      stopListening();
    }
  }

  async #call(work: () => unknown): Promise<unknown> {
    try {
      return await work();
    } catch (error) {
      if (this.#isDatabaseError(error)) throw error;
      // An error of the author's own, after one of the database that passes: that one is judged.
      if (!this.#session.usable) throw this.#session.lost;
      if (isTransient(this.#firstError) && this.#isAborted()) throw this.#firstError;
      throw mistakes.thrown(this.#what, error);
    }
  }

  async #inspect({ allowNoQueries, hasOwnConnection }: Expectation): Promise<void> {
    // Work that was started and not awaited shows within two turns of the event loop.
    // A statement in flight now may be answered by then, so it is looked at first.
    const wasRunning = this.#inFlight > 0;
    const before = this.#statements;
    await macrotask();
    await macrotask();
    this.verify();
    if (this.#hasEnded) throw mistakes.ended(this.#what);
    const isRunning = wasRunning || this.#inFlight > 0 || this.#statements > before;
    if (isRunning) throw mistakes.stillRunning(this.#what);
    if (this.#isAborted()) throw this.#swallowed();
    if (this.#statements === 0 && !allowNoQueries) {
      throw mistakes.noStatement(this.#what, hasOwnConnection?.() === true);
    }
    const forgotten = this.knex.built.forgotten();
    if (forgotten !== null) throw mistakes.neverRun(this.#what, forgotten);
    if (this.knex.hasOpenTransaction()) throw mistakes.openTransaction(this.#what);
  }

  #check(sql: string, bindings: readonly unknown[]): void {
    if (this.#phase !== 'open') throw this.#tooLate();
    // Somebody has ended the transaction: this statement would commit by itself.
    if (this.#isEnded()) throw mistakes.ended(this.#what);
    const excess = overLimit(sql, bindings);
    if (excess !== null) throw mistakes.tooLarge(this.#what, excess);
    if (!this.#isTransaction) return;
    for (const statement of partsOf(sql, bindings)) {
      const mistake = forbiddenIn(statement, { ddl: this.#isDdlAllowed });
      if (mistake !== null) throw this.#refuse(mistake);
    }
  }

  /** The answer; of several statements in one string all answers, as knex gives them elsewhere. */
  async #run(query: QueryObject): Promise<Result | readonly Result[]> {
    const parts = partsOf(query.sql, query.bindings ?? []);
    if (parts.length === 1) return await this.#runOne(query);
    const results: Result[] = [];
    for (const sql of parts) {
      if (this.#isEnded()) throw mistakes.ended(this.#what);
      results.push(await this.#runOne({ ...query, sql }));
    }
    return results;
  }

  async #runOne(query: QueryObject): Promise<Result> {
    this.#statements += 1;
    this.#inFlight += 1;
    try {
      const { sql, bindings = [], options = {} } = query;
      const known = knownUpdate(query);
      const send = async (): Promise<Result> => {
        const imaging = this.images === null ? null : await this.images.ahead(sql, known, bindings);
        const [, answer] = await inOrder([
          this.ahead?.(sql, known) ?? null,
          this.#session.authorQuery(imaging?.sql ?? sql, bindings, harmless(options)),
        ]);
        const result = imaging === null ? answer : asTheirs(imaging, answer);
        await imaging?.behind(result.rowCount ?? 0);
        return result;
      };
      // What a helper's statement finds is looked at ahead of it and behind it: no other one may come between.
      const isAlone = this.images !== null && (known?.finds ?? known?.inserts) !== undefined;
      const result = await (isAlone ? this.#inTurn(send) : send());
      this.written = withStatement(this.written, { bindings: bindings.length, known }, result);
      // An aborted transaction runs nothing: an error before was handled, by going back to a savepoint.
      this.#firstError = null;
      return result;
    } catch (error) {
      this.#firstError ??= error;
      if (typeof error === 'object' && error !== null) this.#fromDatabase.add(error);
      this.#account(error);
      throw error;
    } finally {
      this.#inFlight -= 1;
      this.#isEnded();
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const working = this.#turn.then(work);
    this.#turn = working.catch(() => undefined);
    return await working;
  }

  #refuse<E extends Error>(error: E): E {
    this.#refused ??= error;
    this.#account(error);
    return error;
  }

  #tooLate(): Error {
    const error = mistakes.tooLate(this.#what);
    // Told at once: author code may catch it, and then the work is lost without a word.
    if (this.#phase === 'over') {
      this.#refused ??= error;
      reportUnhandled(error);
    }
    accountFor(error);
    return error;
  }

  /** After a failure, what the rest of the author's code runs into is its consequence. */
  #account(error: unknown): void {
    if (this.#phase === 'failed') accountFor(error);
  }

  /** Whether the transaction is gone; then the connection goes too, with all that is on its way. */
  #isEnded(): boolean {
    if (!this.#isTransaction || this.#phase !== 'open') return false;
    if (this.#session.transactionStatus() !== 'I') return false;
    this.#hasEnded = true;
    this.#session.destroy();
    return true;
  }

  #isAborted(): boolean {
    return this.#session.transactionStatus() === 'E';
  }

  #isDatabaseError(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.#fromDatabase.has(error);
  }

  /** What a swallowed error of the database means: what passes is tried again, else the code is wrong. */
  #swallowed(): unknown {
    return isTransient(this.#firstError)
      ? this.#firstError
      : mistakes.swallowed(this.#what, this.#firstError);
  }
}

/** The answer to the author's statement, from that to the one that was sent instead. */
function asTheirs({ command, returnsRows }: Imaged, answer: Result): Result {
  if (command === null) return answer;
  if (returnsRows) return { ...answer, command };
  const rowCount = Number(Object.values(answer.rows[0] ?? {})[0]);
  return { ...answer, command, rowCount, rows: [] };
}

/** The statements of a text, which Postgres takes one at a time; with bindings it takes one alone. */
function partsOf(sql: string, bindings: readonly unknown[]): readonly string[] {
  if (bindings.length > 0 || !/;\s*\S/.test(sql)) return [sql];
  const statements = statementsOf(sql);
  return statements.length > 1 ? statements : [sql];
}

/** Options of a statement that change nothing but the form of its rows: no other text, no name. */
function harmless({ rowMode, types }: Readonly<Record<string, unknown>>): object {
  return { ...(rowMode === undefined ? {} : { rowMode }), ...(types === undefined ? {} : { types }) };
}
