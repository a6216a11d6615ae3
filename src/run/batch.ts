import { fail } from '../errors.ts';
import type { Owned } from '../ledger/chunks.ts';
import type { Key } from '../ledger/rows.ts';
import { lockKeys, lockedChunk, pickKeys, rowsByKeys, splitRows } from '../migration/chunk-queries.ts';
import type { GuardedDatabase } from '../migration/guard.ts';
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
      rows: asApplication(guard, shape, read.rows),
      keys: read.keys,
      picked: read.keys.length,
      lastKey: read.keys.at(-1) ?? null,
    };
  }
  const pick = pickKeys(shape, base, range);
  const picked = (await session.query(pick.text, pick.values)).rows.map((row) => row['key'] as Key);
  if (picked.length === 0) return { rows: [], keys: [], picked: 0, lastKey: null };
  const lock = lockKeys(base, picked);
  const locked = (await session.query(lock.text, lock.values)).rows.map((row) => row['key'] as Key);
  const byKeys = rowsByKeys(shape, base, locked);
  const read = splitRows((await session.authorQuery(byKeys.text, byKeys.values)).rows, base);
  return {
    rows: asApplication(guard, shape, read.rows),
    keys: read.keys,
    picked: picked.length,
    lastKey: picked.at(-1) ?? null,
  };
}

/** Rows as the application's own knex would give them. */
function asApplication(guard: GuardedDatabase, { query }: SelectShape, rows: object[]): object[] {
  const client = guard.builder.client as { postProcessResponse(rows: unknown, context: unknown): unknown };
  return client.postProcessResponse(rows, query.queryContext()) as object[];
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
  const changed = base.key.find((key) => columns.includes(key.name));
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
