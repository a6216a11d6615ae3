import { fail } from '../../errors.ts';
import {
  type ChunkRange,
  fittingChunk,
  lockedChunk,
  lockedGroups,
  rowsByKeys,
  fittingKeys,
  lockKeys,
  pickKeys,
} from '../../migration/chunk/queries.ts';
import type { RowBound } from '../../migration/chunk/row-sizes.ts';
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
  /** It has fewer rows than it might, since they are large or heavy. */
  readonly isCut: boolean;
  /** What its rows weigh: as many as they are, unless the author says what each does. */
  readonly weight: number;
}

/** What a chunk may take of the rows that a select finds: by number and, where `bound` is not null, by size and weight. */
export interface KeyRequest {
  readonly shape: SelectShape;
  readonly base: BaseTable;
  readonly range: ChunkRange;
  readonly bound: RowBound | null;
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
  const fitting = bound === null ? null : await measured(session, fittingChunk(shape, placed, range, bound));
  // Short of the limit by its bytes or its weight: the range continues behind it.
  const isCut = fitting?.isCut ?? false;
  const cut = isCut ? (fitting?.key ?? null) : null;
  const limits = cut === null ? range : { ...range, upTo: cut };
  const { rows, read } = await readLocked(session, { ...request, range: limits });
  const isFull = rows.length === range.limit;
  const { keys, last, mayHaveMoved } = read;
  const end = mayHaveMoved ? order.endOfMoved(range.after) : last;
  if (mayHaveMoved && end === null) return await readPicked(session, request);
  const weight = fitting?.weight ?? rows.length;
  return { rows, keys, to: (isFull ? end : cut) ?? range.upTo, isFull, isCut, weight };
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
  const { picked, locked, last, isCut, weight } = await pickAndLock(session, request);
  const to = last ? range.upTo : (picked.at(-1) ?? range.upTo);
  const isFull = !last && !isCut;
  if (locked.length === 0) return { rows: [], keys: new KeyList([]), to, isFull, isCut, weight };
  const byKeys = (base.isGrouped === true ? lockedGroups : rowsByKeys)(shape, base, locked);
  const read = new ChunkRows(base);
  const { rows } = await session.authorRows(byKeys.text, byKeys.values, read);
  return { rows, keys: read.keys, to, isFull, isCut, weight };
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

/** The base rows of a chunk: what the author's query gives for the range. */
export interface PickedKeys {
  readonly picked: readonly Key[];
  /** The range has no rows behind them. */
  readonly last: boolean;
  /** They are fewer than there might be, since their rows are large or heavy. */
  readonly isCut: boolean;
  readonly weight: number;
}

/** The same, with what of it is locked. */
export interface PickedRows extends PickedKeys {
  /** Those of `picked` that were still there when they were locked. */
  readonly locked: readonly Key[];
}

/**
 * Picks the next keys of any select and locks their base rows: two statements. Where a key is gone in between,
 * its row was deleted, or has moved to another partition under another key, maybe one of this chunk: picks again.
 * What is locked stays; a row that moves away twice ends it.
 */
export async function pickAndLock(session: Session, request: KeyRequest): Promise<PickedRows> {
  const gone = new Set<string>();
  for (;;) {
    const found = await pick(session, request);
    const { picked } = found;
    const lock = lockKeys(request.base, picked);
    const rows = picked.length === 0 ? [] : (await session.query(lock.text, lock.values)).rows;
    const all = rows.map((row) => row['key'] as Key);
    const there = new Set(all.map((key) => JSON.stringify(key)));
    const missing = picked.map((key) => JSON.stringify(key)).filter((key) => !there.has(key));
    if (missing.length === 0 || missing.some((key) => gone.has(key))) {
      if (request.base.isGrouped !== true) return { ...found, locked: all };
      const locked = picked.filter((key) => there.has(JSON.stringify(key)));
      return { ...found, locked, weight: rows.reduce((sum, row) => sum + Number(row['rows']), 0) };
    }
    for (const key of missing) gone.add(key);
  }
}

/** Picks the next keys of any select, at least one, whose rows fit together. Locks nothing. */
export async function pick(session: Session, { shape, base, range, bound }: KeyRequest): Promise<PickedKeys> {
  const all = await keysOf(session, pickKeys(shape, base, range));
  const last = all.length < range.limit;
  const fitting =
    bound === null || all.length === 0 ? null : await measured(session, fittingKeys(shape, base, all, bound));
  if (fitting === null) return { picked: all, last, isCut: false, weight: all.length };
  const { weight, isCut } = fitting;
  if (!isCut) return { picked: all, last, isCut, weight };
  const end = JSON.stringify(fitting.key);
  const index = all.findIndex((key) => JSON.stringify(key) === end);
  return { picked: all.slice(0, Math.max(1, index + 1)), last: false, isCut, weight };
}

/** The first rows that fit together. */
interface FittingRows {
  /** Of the last of them. */
  readonly key: Key;
  readonly weight: number;
  /** There are more. */
  readonly isCut: boolean;
}

async function measured(session: Session, { text, values }: Statement): Promise<FittingRows | null> {
  const [row] = (await session.query(text, values)).rows;
  if (row === undefined) return null;
  return { key: row['key'] as Key, weight: Number(row['weight']), isCut: row['more'] === true };
}

async function keysOf(session: Session, { text, values }: Statement): Promise<readonly Key[]> {
  return (await session.query(text, values)).rows.map((row) => row['key'] as Key);
}
