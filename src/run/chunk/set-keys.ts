import { counted } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import { type KnownUpdate, setsKey } from '../../migration/handle/known-update.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { KeyRange } from '../../migration/key/sql.ts';
import { onlyRead } from '../../migration/handle/mistakes.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import { countNoted, countOwn, noteKeys } from '../../migration/chunk/set-keys.ts';
import type { Session } from '../../postgres/session.ts';
import { inOrder } from '../../postgres/transaction.ts';
import type { WalkingOrder } from '../order/order.ts';
import { refuseMovedKeys, type WriteCounters } from './write-counters.ts';
import { readWrites, writesBetween } from '../analyze/side-effects.ts';

/** The rows of a set-based chunk. */
export interface SetRows {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  readonly order: WalkingOrder;
  readonly range: KeyRange;
  /** What the server counted before `update` was called. */
  readonly before: WriteCounters;
}

/** What an `update` that reads no rows must keep, and under what name it is reported. */
export interface SetRules {
  readonly name: string;
  readonly what: string;
  readonly mayDelete: boolean;
  readonly mayOnlyRead: boolean;
}

interface Noted {
  readonly keys: number;
  /** Rows of the chunk that were deleted before: they are not among the keys. */
  readonly gone: number;
  /** Keys of rows that are selected more than once. */
  readonly twins: number;
  readonly lists: readonly string[];
  readonly writes: Awaited<ReturnType<typeof readWrites>> | null;
}

// They write nothing, nor do they begin anything that does.
const steering = /^\s*(?:savepoint|release|rollback|set|show)\b/i;
const writing = /^\s*(?:insert|update|delete|merge)\b/i;

/**
 * Sees what becomes of the rows of a set-based chunk. Of `chunk.update()` the server's counters and its own answer say
 * how many rows it has written, and what it sets says that their keys are as they were; of `chunk.delete()`, where it is
 * allowed, its answer says it. Ahead of everything else, and where triggers fire, the keys are noted, to be counted
 * again. Noting 20,000 uuids takes about 15 ms; noting 300,000 bigints to be deleted took as long as deleting them.
 */
export class SetKeys {
  readonly #session: Session;
  readonly #rows: SetRows;
  readonly #rules: SetRules;
  readonly #guard: GuardedDatabase;
  #noting: Promise<Noted> | null = null;
  /** Rows may have been written, and match no more, before they were noted. */
  #hasUpdated = false;

  constructor(session: Session, guard: GuardedDatabase, rows: SetRows, rules: SetRules) {
    this.#session = session;
    this.#guard = guard;
    this.#rows = rows;
    this.#rules = rules;
    guard.ahead((sql, known) => this.#ahead(sql, known));
  }

  #ahead(sql: string, known: KnownUpdate | undefined): Promise<unknown> | null {
    if (this.#noting !== null || steering.test(sql)) return null;
    if (known !== undefined && this.#answersForItself(known)) {
      this.#hasUpdated = true;
      return null;
    }
    this.#noting = this.#note(!writing.test(sql));
    return this.#noting;
  }

  /** Its own answer, and the server's counters, say what has become of the rows. */
  #answersForItself(known: KnownUpdate): boolean {
    if (this.#rows.before.hasTriggers || known.isChunk !== true) return false;
    return known.columns === null ? this.#rules.mayDelete : !setsKey(known, this.#rows.base);
  }

  async #note(mayRead: boolean): Promise<Noted> {
    const { shape, base, order, range } = this.#rows;
    const placed = order.ordered(base);
    const gone = this.#guard.written().ofChunk.deleted;
    const { text, values } = noteKeys(shape, { base, placed, range }, this.#hasUpdated && order.keepsUpdated);
    const [answer, writes] = await inOrder([
      this.#session.query(text, values),
      mayRead ? readWrites(this.#session) : null,
    ]);
    const { keys, twins, ...lists } = answer.rows[0] ?? {};
    return {
      keys: Number(keys),
      gone,
      twins: Number(twins),
      lists: Object.values(lists).map((list) => String(list ?? '{}')),
      writes,
    };
  }

  /** How many rows the chunk had. Throws where `update` has only read. */
  async count(): Promise<number> {
    const { updates, rows, deleted } = this.#guard.written().ofChunk;
    const noted = await this.#noting;
    if (noted !== null) {
      this.#refuseTwins(noted);
      await this.#refuseReading(noted);
      return Math.max(noted.keys + noted.gone, rows + deleted);
    }
    // Of the rows of several updates, and of an update before a delete, only those that are there are counted once.
    const isMixed = updates > 1 || (updates > 0 && deleted > 0);
    const updated = isMixed && this.#rows.order.keepsUpdated ? await this.#own() : rows;
    return updated + deleted;
  }

  /** Throws where `update` has moved or deleted the rows' keys, by the counters as they are after it. */
  async refuseMoved(counters: Promise<WriteCounters>): Promise<void> {
    if (this.#rules.mayDelete) return;
    const noted = await this.#noting;
    const [left, now] = await inOrder([noted === null ? null : this.#left(noted), counters]);
    const gone = noted === null || left === null ? null : noted.keys - left;
    refuseMovedKeys(this.#rules.name, await this.#moved(gone, now), this.#rows.base);
  }

  /** How many of the chunk's keys are not there any more by our doing. `gone`: by anybody's; null: they were not noted. */
  async #moved(gone: number | null, now: WriteCounters): Promise<number> {
    const { updated: known, ofChunk } = this.#guard.written();
    const { updated, deleted } = this.#since(now);
    const isInKeys = this.#rows.order.keepsUpdated;
    if (gone === null) {
      const isSure = deleted === 0 && updated === known;
      return isSure || !now.isCounted || !isInKeys ? 0 : Math.max(0, ofChunk.rows - (await this.#own()));
    }
    if (gone <= 0 || (now.isCounted && updated + deleted === 0)) return 0;
    // The application may have deleted some in the meantime; all that were written here have stayed.
    const isOthers = isInKeys && now.isCounted && deleted === 0 && updated === (await this.#own());
    return isOthers ? 0 : gone;
  }

  async #left({ lists }: Noted): Promise<number> {
    const { text, values } = countNoted(this.#rows.base, lists);
    return Number((await this.#session.query(text, values)).rows[0]?.['count']);
  }

  #since(now: WriteCounters): { readonly updated: number; readonly deleted: number } {
    return {
      updated: now.updated - this.#rows.before.updated,
      deleted: now.deleted - this.#rows.before.deleted,
    };
  }

  /** Rows of the range that this transaction has written. */
  async #own(): Promise<number> {
    const { text, values } = countOwn(this.#rows.base, this.#rows.range);
    return Number((await this.#session.query(text, values)).rows[0]?.['count']);
  }

  /** Not when they are noted: knex would put the author's statement before the message. */
  #refuseTwins({ twins }: Noted): void {
    if (twins === 0) return;
    throw fail('MIGRATION_FAILED', {
      message: `${this.#rules.name}: select returns ${counted(twins, 'row')} of the base table more than once`,
      detail: 'a join multiplies them; each would be written as many times',
      hint: 'select each base row once; use whereExists instead of a join',
    });
  }

  async #refuseReading({ keys, writes }: Noted): Promise<void> {
    if (keys === 0 || writes === null || this.#rules.mayOnlyRead || this.#guard.written().hasWritten) return;
    if (writesBetween(writes, await readWrites(this.#session)).length === 0) throw onlyRead(this.#rules.what);
  }
}
