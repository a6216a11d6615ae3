import { pg } from '../../postgres/pg.ts';

/** How values of a column become text; `json` elements of an array are values of JSON too. */
export type Form = 'json' | 'bytes' | 'text' | 'array' | 'json-array' | 'other';

/** What is wrong with a value, in words that do not show it. */
export interface Misfit {
  readonly misfit: string;
}

/**
 * A value in Postgres's text form, as pg would send it with a plain UPDATE; null for SQL NULL. Two things are
 * other than with pg: a JSON column takes any value, an array too, besides text that is JSON already; and
 * what would be stored as something else without a word is a misfit.
 */
export function toPostgresText(value: unknown, form: Form): string | null | Misfit {
  if (value === null || value === undefined) return null;
  if (typeof value === 'object' && hasOwnForm(value)) {
    return toPostgresText(value.toPostgres(asPg), form);
  }
  if (form === 'json') return jsonText(value);
  if (Array.isArray(value)) return arrayText(value, form === 'json-array' ? 'json' : 'other');
  return scalarText(value, form);
}

// pg's interval and its like, and what applications make after their example.
function hasOwnForm(value: object): value is { toPostgres(prepare: typeof asPg): unknown } {
  if (value instanceof Date || Array.isArray(value) || ArrayBuffer.isView(value)) return false;
  return 'toPostgres' in value && typeof value.toPostgres === 'function';
}

function asPg(value: unknown): unknown {
  const text = toPostgresText(value, 'other');
  return typeof text === 'string' ? text : null;
}

function scalarText(value: unknown, form: Form): string | Misfit {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'object':
      return objectText(value ?? {}, form);
    default:
      return { misfit: `a ${typeof value}` };
  }
}

function objectText(value: object, form: Form): string | Misfit {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? invalidDate : dateText(value);
  if (!ArrayBuffer.isView(value)) return stringified(value);
  const bytes = bytesOf(value);
  if (form === 'bytes') return `\\x${bytes.toString('hex')}`;
  // pg sends bytes as the binary form of the column's type, which for a text is the text.
  if (form !== 'text' || !isUtf8(bytes)) return { misfit: 'bytes' };
  return bytes.toString('utf8');
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);
}

const invalidDate: Misfit = { misfit: 'an invalid Date' };

function jsonText(value: unknown): string | Misfit {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'object' && ArrayBuffer.isView(value)) return { misfit: 'bytes' };
  if (typeof value !== 'string') return stringified(value);
  try {
    JSON.parse(value);
    return value;
  } catch {
    return { misfit: 'text that is not JSON: give it as JSON.stringify(text)' };
  }
}

function stringified(value: unknown): string | Misfit {
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) return { misfit: typeof value === 'object' ? 'not JSON' : `a ${typeof value}` };
    return lostInJson(value) ?? text;
  } catch (error) {
    // The engine's words name the object's class and the path to it.
    const why =
      error instanceof RangeError
        ? 'nested too deeply'
        : 'it contains a bigint or a cycle, or its toJSON throws';
    return { misfit: `an object that JSON cannot hold: ${why}` };
  }
}

/** What JSON.stringify turns into null. It has ended without an error, so there is no circle. */
function lostInJson(value: unknown): Misfit | null {
  if (typeof value === 'number') return Number.isFinite(value) ? null : { misfit: 'NaN or Infinity in JSON' };
  if (typeof value !== 'object' || value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? invalidDate : null;
  if ('toJSON' in value && typeof value.toJSON === 'function') return null;
  for (const item of Object.values(value)) {
    const lost = lostInJson(item);
    if (lost !== null) return lost;
  }
  return null;
}

// Local time with its offset, as pg writes it: a `timestamp` column keeps the local time, a `timestamptz`
// the instant, just as with a plain UPDATE. An application may have told pg to write UTC instead.
function dateText(date: Date): string {
  const inUtc = pg.defaults.parseInputDatesAsUTC === true;
  const pad = (value: number, width = 2): string => String(Math.abs(value)).padStart(width, '0');
  const year = inUtc ? date.getUTCFullYear() : date.getFullYear();
  const [month, day] = inUtc ? [date.getUTCMonth(), date.getUTCDate()] : [date.getMonth(), date.getDate()];
  const time = inUtc
    ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getHours(), date.getMinutes(), date.getSeconds()];
  const offset = inUtc ? 0 : -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${pad(Math.trunc(offset / 60))}:${pad(offset % 60)}`;
  const text = `${pad(year <= 0 ? 1 - year : year, 4)}-${pad(month + 1)}-${pad(day)}T${time.map((part) => pad(part)).join(':')}`;
  return `${text}.${pad(date.getMilliseconds(), 3)}${zone}${year <= 0 ? ' BC' : ''}`;
}

function arrayText(items: readonly unknown[], element: 'json' | 'other'): string | Misfit {
  const parts: string[] = [];
  // By index: a hole in an array is null too.
  for (let index = 0; index < items.length; index += 1) {
    const text = elementText(items[index], element);
    if (typeof text === 'object') return text;
    parts.push(text);
  }
  return `{${parts.join(',')}}`;
}

function elementText(item: unknown, element: 'json' | 'other'): string | Misfit {
  if (Array.isArray(item)) return arrayText(item, element);
  if (ArrayBuffer.isView(item)) return `\\\\x${bytesOf(item).toString('hex')}`;
  const text = toPostgresText(item, element);
  if (text === null) return 'NULL';
  if (typeof text === 'object') return text;
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}
