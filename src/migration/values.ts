/**
 * A value in Postgres's text form, or null where it has none for a column of this form. JSON columns take a
 * value, or a string that is JSON text already.
 */
export function toPostgresText(value: unknown, form: 'json' | 'array' | 'other'): string | null {
  if (form === 'json') return jsonText(value);
  if (form === 'array') return Array.isArray(value) ? arrayText(value) : scalarText(value);
  return Array.isArray(value) ? null : scalarText(value);
}

function jsonText(value: unknown): string | null {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'string') return JSON.stringify(value) ?? null;
  try {
    JSON.parse(value);
    return value;
  } catch {
    return null;
  }
}

function scalarText(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
    case 'object':
      return objectText(value);
    default:
      return null;
  }
}

function objectText(value: object | null): string | null {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : dateText(value);
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (value !== null && 'toPostgres' in value && typeof value.toPostgres === 'function') {
    const own: unknown = (value.toPostgres as () => unknown)();
    return scalarText(own);
  }
  return value === null ? null : JSON.stringify(value);
}

// Local time with its offset, as pg writes it: a `timestamp` column keeps the local time, a `timestamptz`
// the instant, just as with a plain UPDATE.
function dateText(date: Date): string {
  const pad = (value: number, width = 2): string => String(Math.abs(value)).padStart(width, '0');
  const offset = -date.getTimezoneOffset();
  const year = date.getFullYear();
  const day = `${pad(year <= 0 ? 1 - year : year, 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const zone = `${offset < 0 ? '-' : '+'}${pad(Math.trunc(offset / 60))}:${pad(offset % 60)}`;
  return `${day}T${time}.${pad(date.getMilliseconds(), 3)}${zone}${year <= 0 ? ' BC' : ''}`;
}

function arrayText(items: readonly unknown[]): string {
  const parts = items.map((item) => {
    if (item === null || item === undefined) return 'NULL';
    if (Array.isArray(item)) return arrayText(item);
    const text = scalarText(item) ?? '';
    return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  });
  return `{${parts.join(',')}}`;
}
