import { redact } from './redact.ts';

// Deep enough for { error: { cause: { … } } }; a record that is deeper was not meant for a log.
const deepest = 5;

const unreadable = 'cannot be read: it throws';

/**
 * A value as it may be logged and sent between processes: secrets and control characters out of every text,
 * errors as code and message, with their stack where `verbose`. Never throws, whatever it is given.
 */
export function loggable(value: unknown, verbose: boolean): unknown {
  return clean(value, verbose, 0);
}

function clean(value: unknown, verbose: boolean, depth: number): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= deepest) return '…';
  try {
    return cleanObject(value, verbose, depth);
  } catch {
    return unreadable;
  }
}

function cleanObject(value: object, verbose: boolean, depth: number): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (value instanceof Error) {
    const { code } = value as { code?: unknown };
    const stack = verbose && value.stack !== undefined ? redact(value.stack) : undefined;
    return { code: typeof code === 'string' ? code : undefined, message: redact(value.message), stack };
  }
  if (Array.isArray(value)) return value.map((item) => clean(item, verbose, depth + 1));
  const entries = Object.keys(value).map((key) => {
    const isSecret = /password|secret|token|api_?key/i.test(key);
    return [redact(key), isSecret ? '***' : clean(read(value, key), verbose, depth + 1)];
  });
  return Object.fromEntries(entries);
}

function read(value: object, key: string): unknown {
  try {
    return Reflect.get(value, key);
  } catch {
    return unreadable;
  }
}
