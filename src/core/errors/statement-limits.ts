/** What the protocol takes of a statement; a larger one cannot be sent, and the server would say so of something else. */

// Bind counts its parameters in 16 bits.
const mostBindings = 65_535;

// The server ends a connection on which a message of 1 GB or more is announced.
const mostBytes = 0x3fff_ffff;

// Of a JavaScript character in UTF-8.
const mostBytesOfCharacter = 3;

// As near to the limit as an estimate from the chunk before may come.
const margin = 0.9;

/** Why a statement cannot be sent, with the number, and what to write instead; null: it can. */
export function overLimit(sql: string, bindings: readonly unknown[]): string | null {
  if (bindings.length > mostBindings) {
    const [has, most] = [bindings.length, mostBindings].map((count) => count.toLocaleString('en-US'));
    return `a statement has ${has} bindings, but Postgres accepts at most ${most}: pass each column as one array, to updateRows or to unnest in db.raw`;
  }
  if (sizeOf([sql, bindings], (text) => text.length * mostBytesOfCharacter) <= mostBytes) return null;
  const bytes = sizeOf([sql, bindings], (text) => Buffer.byteLength(text));
  if (bytes <= mostBytes) return null;
  return `a statement and its values have ${bytes.toLocaleString('en-US')} bytes, but Postgres accepts less than 1 GB: write fewer rows at a time`;
}

// A chunk grows at most fourfold: one with fewer bindings than that cannot bring the next one over the limit.
const nearBindings = mostBindings / 4;

/** Rows that the next chunk may have, by the bindings of the largest statement of one with `rows`. */
export function rowsWithinBindings(rows: number, bindings: number): number {
  if (bindings < nearBindings) return Infinity;
  return Math.max(1, Math.floor((mostBindings * margin * rows) / bindings));
}

/** Bytes of a value, of those kinds that can be large. */
function sizeOf(value: unknown, ofText: (text: string) => number): number {
  if (typeof value === 'string') return ofText(value);
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return Array.isArray(value) ? value.reduce((sum: number, item) => sum + sizeOf(item, ofText), 0) : 0;
}
