import { firstPlace } from '../core/places.ts';
import { fail } from '../errors.ts';
import type { Key } from '../ledger/rows.ts';
import {
  type ByteBound,
  type ChunkRange,
  fittingChunk,
  lockedChunk,
  rowsByKeys,
  splitRows,
  takeRowKeys,
} from '../migration/chunk-queries.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
import { type BaseTable, type Space, inSpace } from '../migration/key.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import { lockPicked } from './pick.ts';

/** The rows a chunk has in hand before `update` is called. */
export interface Batch {
  readonly rows: object[];
  readonly keys: readonly Key[];
  /** The new cursor. */
  readonly to: Key;
  /** It has as many rows as it may: there may be more of them. */
  readonly isFull: boolean;
  /** It has fewer rows than it might, since they are large. */
  readonly isCut: boolean;
}

/** What a chunk may take: rows by number and, where `bound` is not null, by size. */
export interface BatchRequest {
  readonly space: Space;
  readonly range: ChunkRange;
  readonly bound: ByteBound | null;
}

/** Locks the next base rows, then reads the author's rows for them: one statement for a plain select. */
export async function readBatch(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  guard: GuardedDatabase,
  request: BatchRequest,
): Promise<Batch> {
  const batch =
    shape.plain && request.range.isGathered !== true
      ? await readPlain(session, shape, base, request)
      : await readPicked(session, shape, base, request);
  return { ...batch, rows: asApplication(guard, shape, batch.rows) };
}

async function readPlain(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  { space, range, bound }: BatchRequest,
): Promise<Batch> {
  const placed = inSpace(base, space);
  const probe = bound === null ? null : fittingChunk(shape, placed, range, bound);
  const [fitting] = probe === null ? [] : (await session.query(probe.text, probe.values)).rows;
  // Short of the limit by its bytes: the range goes on behind it.
  const isCut = fitting !== undefined && Number(fitting['rows']) < range.limit;
  const cut = isCut ? (fitting['key'] as Key) : null;
  const statement = lockedChunk(shape, placed, cut === null ? range : { ...range, upTo: cut }, base);
  const { rows } = await session.authorQuery(statement.text, statement.values);
  const isFull = rows.length === range.limit;
  if (space === 'blocks') {
    const keys = takeRowKeys(rows);
    const read = splitRows(rows, placed);
    // A row that moved while it was waited for tells its new place, which may be far behind the others.
    const end = read.mayHaveMoved ? (range.after ?? [firstPlace]) : read.keys.at(-1);
    return { ...read, keys, to: (isFull ? end : cut) ?? range.upTo, isFull, isCut };
  }
  const read = splitRows(rows, base);
  if (read.mayHaveMoved) return await readPicked(session, shape, base, { range, bound });
  const to = isFull ? read.keys.at(-1) : cut;
  return { ...read, to: to ?? range.upTo, isFull, isCut };
}

async function readPicked(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  { range, bound }: Omit<BatchRequest, 'space'>,
): Promise<Batch> {
  const { picked, locked, last, isCut } = await lockPicked(session, shape, base, range, bound);
  const to = last ? range.upTo : (picked.at(-1) ?? range.upTo);
  const isFull = !last && !isCut;
  if (locked.length === 0) return { rows: [], keys: [], to, isFull, isCut };
  const byKeys = rowsByKeys(shape, base, locked);
  const read = splitRows((await session.authorQuery(byKeys.text, byKeys.values)).rows, base);
  return { ...read, to, isFull, isCut };
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
export function refuseDuplicates(keys: readonly Key[], name: string): void {
  const isTwin = (key: Key, index: number): boolean =>
    index > 0 && key.every((part, column) => part === keys[index - 1]?.[column]);
  const first = keys.findIndex(isTwin);
  if (first === -1) return;
  const key = JSON.stringify(keys[first]);
  const count = keys.filter((other) => JSON.stringify(other) === key).length;
  const distinct = keys.length - keys.filter(isTwin).length;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: select returns some rows more than once`,
    detail: `a join multiplies the rows of the base table: key ${shortened(key)} came ${count} times; ${keys.length} rows have ${distinct} keys`,
    hint: 'select each base row once; use whereExists instead of a join',
  });
}

// A key may be a long text; its beginning is enough to find it.
const shownKey = 80;

function shortened(key: string): string {
  return key.length <= shownKey ? key : `${key.slice(0, shownKey)}…`;
}
