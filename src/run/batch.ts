import { fail } from '../errors.ts';
import type { Owned } from '../ledger/chunks.ts';
import type { Key } from '../ledger/rows.ts';
import {
  type ChunkRange,
  lockKeys,
  lockedChunk,
  pickKeys,
  rowsByKeys,
  splitRows,
} from '../migration/chunk-queries.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
import type { Statement } from '../migration/key-sql.ts';
import type { BaseTable } from '../migration/key.ts';
import type { SelectShape } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';

/** The rows a chunk has in hand before `update` is called. */
export interface Batch {
  readonly rows: object[];
  readonly keys: readonly Key[];
  /** Matching keys that were passed; less than the limit means that the range is at its end. */
  readonly picked: number;
  readonly lastKey: Key | null;
}

/** Locks the next base rows, then reads the author's rows for them: one statement for a plain select. */
export async function readBatch(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  guard: GuardedDatabase,
  owned: Owned,
  limit: number,
): Promise<Batch> {
  const range = { after: owned.after, upTo: owned.hi, limit };
  if (shape.plain) {
    const statement = lockedChunk(shape, base, range);
    const read = splitRows((await session.authorQuery(statement.text, statement.values)).rows, base);
    return {
      rows: asApplication(guard, read.rows),
      keys: read.keys,
      picked: read.keys.length,
      lastKey: read.keys.at(-1) ?? null,
    };
  }
  const { picked, locked } = await lockPicked(session, shape, base, range);
  if (picked.length === 0) return { rows: [], keys: [], picked: 0, lastKey: null };
  const byKeys = rowsByKeys(shape, base, locked);
  const read = splitRows((await session.authorQuery(byKeys.text, byKeys.values)).rows, base);
  return {
    rows: asApplication(guard, read.rows),
    keys: read.keys,
    picked: picked.length,
    lastKey: picked.at(-1) ?? null,
  };
}

/**
 * Picks the next keys and locks their rows. Where one is gone meanwhile, its row was deleted, or has moved to
 * another partition under another key, maybe one of this chunk: picks anew. What is locked stays; a key that is
 * gone and picked again is none of the table's.
 */
async function lockPicked(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
  range: ChunkRange,
): Promise<{ readonly picked: readonly Key[]; readonly locked: readonly Key[] }> {
  const keysOf = async ({ text, values }: Statement): Promise<readonly Key[]> =>
    (await session.query(text, values)).rows.map((row) => row['key'] as Key);
  const gone = new Set<string>();
  for (;;) {
    const picked = await keysOf(pickKeys(shape, base, range));
    const locked = picked.length === 0 ? [] : await keysOf(lockKeys(base, picked));
    if (locked.length === picked.length) return { picked, locked };
    const there = new Set(locked.map((key) => JSON.stringify(key)));
    const missing = picked.map((key) => JSON.stringify(key)).filter((key) => !there.has(key));
    if (missing.some((key) => gone.has(key))) return { picked, locked };
    for (const key of missing) gone.add(key);
  }
}

/** Rows as the application's own knex would give them. */
function asApplication(guard: GuardedDatabase, rows: object[]): object[] {
  const client = guard.builder.client as { postProcessResponse(rows: unknown, context: unknown): unknown };
  return client.postProcessResponse(rows, undefined) as object[];
}

/** A join that multiplies rows would migrate a base row more than once. Names an example by its key alone. */
export function refuseDuplicates(keys: readonly Key[], name: string): void {
  const times = new Map<string, number>();
  for (const key of keys) {
    const text = JSON.stringify(key);
    times.set(text, (times.get(text) ?? 0) + 1);
  }
  if (times.size === keys.length) return;
  const [example, count] = [...times].find(([, seen]) => seen > 1) ?? ['', 0];
  throw fail('MIGRATION_FAILED', {
    message: `${name}: select returns some rows more than once`,
    detail: `a join multiplies the rows of the base table: key ${shortened(example)} came ${count} times; ${keys.length} rows have ${times.size} keys`,
    hint: 'select each base row once; use whereExists instead of a join',
  });
}

/**
 * A set-based update that moves its rows' keys would meet some of them again in the next chunk; its keys are not
 * at hand to be counted again. Sees what the chunk's own query sets.
 */
export function refuseChangedKeys(chunk: object, base: BaseTable, name: string): void {
  const { _single: parts } = chunk as {
    readonly _single?: { readonly update?: object; readonly counter?: object };
  };
  const columns = Object.keys({ ...parts?.update, ...parts?.counter });
  const changed = base.key.find(({ name: column, madeFrom = [] }) =>
    [column, ...madeFrom].some((one) => columns.includes(one)),
  );
  if (changed === undefined) return;
  throw fail('MIGRATION_FAILED', {
    message: `${name}: update changes the key column ${JSON.stringify(changed.name)}`,
    detail: 'a row with a new key would be met again, or never',
    hint: 'name a key that update does not change in options.key',
  });
}

// A key may be a long text; its beginning is enough to find it.
const shownKey = 80;

function shortened(key: string): string {
  return key.length <= shownKey ? key : `${key.slice(0, shownKey)}…`;
}
