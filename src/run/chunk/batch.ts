import { fail } from '../../errors.ts';
import {
  type ByteBound,
  type ChunkRange,
  fittingChunk,
  lockedChunk,
  rowsByKeys,
  fittingKeys,
  lockKeys,
  pickKeys,
} from '../../migration/chunk/queries.ts';
import { ChunkRows, type ShownKey } from '../../migration/chunk/rows.ts';
import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import type { BaseTable, Key, Position } from '../../migration/key/key.ts';
import { KeyList } from '../../migration/key/list.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import type { Statement } from '../../migration/key/sql.ts';
import type { WalkingOrder } from '../order/order.ts';

/** The rows that a chunk has read before `update` is called. */
export interface Batch {
  readonly rows: object[];
  readonly keys: KeyList;
  /** The new cursor. */
  readonly to: Position;
  /** It has as many rows as it may: there may be more of them. */
  readonly isFull: boolean;
  /** It has fewer rows than it might, since they are large. */
  readonly isCut: boolean;
}

/** What a chunk may take of the rows that a select finds: by number and, where `bound` is not null, by size. */
export interface KeyRequest {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  readonly range: ChunkRange;
  readonly bound: ByteBound | null;
}

/** The same, with the order of the rows. */
export interface BatchRequest extends KeyRequest {
  readonly order: WalkingOrder;
  readonly shown: ShownKey;
}

/** Locks the next base rows, then reads the author's rows for them: one statement for a plain select. */
export async function readBatch(
  session: Session,
  guard: GuardedDatabase,
  request: BatchRequest,
): Promise<Batch> {
  const { shape, range } = request;
  const read = shape.plain && range.isGathered !== true ? readPlain : readPicked;
  const batch = await read(session, request);
  return { ...batch, rows: asApplication(guard, shape, batch.rows) };
}

async function readPlain(session: Session, request: BatchRequest): Promise<Batch> {
  const { shape, base, order, range, bound } = request;
  const placed = order.ordered(base);
  const probe = bound === null ? null : fittingChunk(shape, placed, range, bound);
  const [fitting] = probe === null ? [] : (await session.query(probe.text, probe.values)).rows;
  // Short of the limit by its bytes: the range continues behind it.
  const isCut = fitting !== undefined && Number(fitting['rows']) < range.limit;
  const cut = isCut ? (fitting['key'] as Key) : null;
  const limits = cut === null ? range : { ...range, upTo: cut };
  const { rows, read } = await readLocked(session, { ...request, range: limits });
  const isFull = rows.length === range.limit;
  const { keys, last, mayHaveMoved } = read;
  const end = mayHaveMoved ? order.endOfMoved(range.after) : last;
  if (mayHaveMoved && end === null) return await readPicked(session, request);
  return { rows, keys, to: (isFull ? end : cut) ?? range.upTo, isFull, isCut };
}

/** Locks and reads the rows of a plain select, without the key where its own columns tell that. */
async function readLocked(
  session: Session,
  request: BatchRequest,
): Promise<{ readonly rows: object[]; readonly read: ChunkRows }> {
  const { shape, base, order, range, shown } = request;
  const read = new ChunkRows(base, shown.places);
  const statement = lockedChunk(shape, order.ordered(base), range, {
    identity: base,
    isKeyShown: shown.places !== null,
  });
  const { rows } = await session.authorRows(statement.text, statement.values, read);
  shown.places = read.shownAt;
  if (!read.isAstray) return { rows, read };
  shown.places = null;
  return await readLocked(session, request);
}

async function readPicked(session: Session, request: KeyRequest): Promise<Batch> {
  const { shape, base, range } = request;
  const { picked, locked, last, isCut } = await pickAndLock(session, request);
  const to = last ? range.upTo : (picked.at(-1) ?? range.upTo);
  const isFull = !last && !isCut;
  if (locked.length === 0) return { rows: [], keys: new KeyList([]), to, isFull, isCut };
  const byKeys = rowsByKeys(shape, base, locked);
  const read = new ChunkRows(base);
  const { rows } = await session.authorRows(byKeys.text, byKeys.values, read);
  return { rows, keys: read.keys, to, isFull, isCut };
}

/** Rows as the application's own knex would give them. */
function asApplication(guard: GuardedDatabase, { builder }: SelectShape, rows: object[]): object[] {
  const client = guard.builder.client as { postProcessResponse(rows: unknown, context: unknown): unknown };
  return client.postProcessResponse(rows, builder.queryContext()) as object[];
}

/**
 * A join that multiplies rows would migrate a base row more than once. Rows come in the order of their keys, so
 * twins are neighbours. Names an example by its key alone.
 */
export function refuseDuplicates(keys: KeyList, name: string): void {
  const isSame = (one: number, other: number): boolean =>
    keys.columns.every((texts) => texts[one] === texts[other]);
  const places = [...(keys.columns[0]?.keys() ?? [])];
  const twins = places.filter((place) => place > 0 && isSame(place, place - 1));
  const [first] = twins;
  if (first === undefined) return;
  const count = places.filter((place) => isSame(place, first)).length;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: select returns some rows more than once`,
    detail: `a join multiplies the rows of the base table: key ${shortened(JSON.stringify(keys.at(first)))} came ${count} times; ${keys.length} rows have ${keys.length - twins.length} keys`,
    hint: 'select each base row once; use whereExists instead of a join',
  });
}

// A key may be a long text; its beginning is enough to find it.
const shownKey = 80;

function shortened(key: string): string {
  return key.length <= shownKey ? key : `${key.slice(0, shownKey)}…`;
}

/** The base rows of a chunk: what the author's query gave for the range, and what of it is locked. */
export interface PickedRows {
  readonly picked: readonly Key[];
  /** Those of `picked` that were still there when they were locked. */
  readonly locked: readonly Key[];
  /** The range has no rows behind them. */
  readonly last: boolean;
  /** They are fewer than there might be, since their rows are large. */
  readonly isCut: boolean;
}

/**
 * Picks the next keys of any select and locks their base rows: two statements. Where a key is gone in between,
 * its row was deleted, or has moved to another partition under another key, maybe one of this chunk: picks again.
 * What is locked stays; a row that moves away twice ends it.
 */
export async function pickAndLock(session: Session, request: KeyRequest): Promise<PickedRows> {
  const { shape, base, range } = request;
  const gone = new Set<string>();
  for (;;) {
    const all = await keysOf(session, pickKeys(shape, base, range));
    const picked = await fittingOf(session, request, all);
    const locked = picked.length === 0 ? [] : await keysOf(session, lockKeys(base, picked));
    const there = new Set(locked.map((key) => JSON.stringify(key)));
    const missing = picked.map((key) => JSON.stringify(key)).filter((key) => !there.has(key));
    if (missing.length === 0 || missing.some((key) => gone.has(key))) {
      const isCut = picked.length < all.length;
      return { picked, locked, last: all.length < range.limit && !isCut, isCut };
    }
    for (const key of missing) gone.add(key);
  }
}

/** The first of these keys, at least one, whose rows fit together. */
async function fittingOf(
  session: Session,
  { shape, base, bound }: KeyRequest,
  keys: readonly Key[],
): Promise<readonly Key[]> {
  if (bound === null || keys.length === 0) return keys;
  const [fitting] = await keysOf(session, fittingKeys(shape, base, keys, bound));
  const end = JSON.stringify(fitting);
  const index = keys.findIndex((key) => JSON.stringify(key) === end);
  return keys.slice(0, Math.max(1, index + 1));
}

async function keysOf(session: Session, { text, values }: Statement): Promise<readonly Key[]> {
  return (await session.query(text, values)).rows.map((row) => row['key'] as Key);
}
