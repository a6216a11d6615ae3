import { createRequire } from 'node:module';
import type { DestinationStream, Logger as Pino } from 'pino';
import type { LogLevel, Output } from './config.ts';
import { redact } from './core/redact.ts';

/** A record: what happened, and its values. Never a row's values, never a secret. */
export interface LogFields {
  /** `noun.verb`, stable: `chunk.done`, `run.progress`. */
  readonly event: string;
  readonly [field: string]: unknown;
}

/** Writes structured records to stderr. */
export interface Logger {
  debug(fields: LogFields, message?: string): void;
  info(fields: LogFields, message?: string): void;
  warn(fields: LogFields, message?: string): void;
  error(fields: LogFields, message?: string): void;
  /** A logger whose records all have these fields. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
}

type WrittenLevel = Exclude<LogLevel, 'silent'>;

const severity: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50, silent: 99 };

// Deep enough for { error: { cause: { … } } }; a record that is deeper was not meant for a log.
const deepest = 5;

/**
 * A logger for the process. pino is loaded with the first record that is written (some 40 ms), so a command
 * that logs nothing does not pay. Every write is synchronous: on SIGTERM, pino's asynchronous default lost
 * 199 of 200 lines, its transports all 200, this none.
 *
 * `writePretty` takes the lines of the pretty format; who draws on the terminal puts them above the drawing.
 */
export function createLogger(
  output: Output,
  writePretty: (text: string) => void = (text) => void process.stderr.write(text),
): Logger {
  let opened: Pino | null = null;
  const open = (): Pino => (opened ??= openPino(output, writePretty));
  return loggerOf(open, severity[output.logLevel], output.verbose, {});
}

function loggerOf(open: () => Pino, threshold: number, verbose: boolean, bound: object): Logger {
  const write = (level: WrittenLevel, fields: LogFields, message?: string): void => {
    if (severity[level] < threshold) return;
    const record = clean({ ...bound, ...fields }, verbose, 0) as object;
    open()[level](record, message === undefined ? undefined : redact(message));
  };
  return {
    debug: (fields, message) => write('debug', fields, message),
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
    child: (fields) => loggerOf(open, threshold, verbose, { ...bound, ...fields }),
  };
}

/** Secrets and control characters out of every text; errors as code and message, with a stack if verbose. */
function clean(value: unknown, verbose: boolean, depth: number): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth >= deepest) return '…';
  if (value instanceof Error) {
    const { code } = value as { code?: unknown };
    const stack = verbose && value.stack !== undefined ? redact(value.stack) : undefined;
    return { code: typeof code === 'string' ? code : undefined, message: redact(value.message), stack };
  }
  if (Array.isArray(value)) return value.map((item) => clean(item, verbose, depth + 1));
  const entries = Object.entries(value).map(([key, inner]) => [
    key,
    /password|secret/i.test(key) ? '***' : clean(inner, verbose, depth + 1),
  ]);
  return Object.fromEntries(entries);
}

/** `createRequire`, because the first record must be written before anything else happens: no `await`. */
function openPino(output: Output, writePretty: (text: string) => void): Pino {
  const require = createRequire(import.meta.url);
  const { pino } = require('pino') as typeof import('pino');
  const level = output.logLevel;
  const formatters = { level: (label: string): object => ({ level: label }) };
  const timestamp = pino.stdTimeFunctions.isoTime;
  if (output.logFormat === 'json') {
    const stderr = pino.destination({ dest: 2, sync: true });
    stderr.on('error', () => undefined); // The reader of stderr went away; the run goes on.
    return pino({ level, formatters, timestamp }, stderr);
  }
  const { prettyFactory } = require('pino-pretty') as typeof import('pino-pretty');
  const looks = { colorize: output.color, translateTime: 'SYS:HH:MM:ss', singleLine: true };
  const ignore = 'pid,hostname';
  const full = prettyFactory({ ...looks, ignore });
  // A sentence says it all to a person; a record without one is shown with its fields.
  const brief = output.verbose ? full : prettyFactory({ ...looks, ignore, hideObject: true });
  const stream: DestinationStream = {
    write: (line) => {
      const text = (line.includes('"msg":') ? brief : full)(line) ?? line;
      writePretty(text.endsWith('\n') ? text : `${text}\n`);
    },
  };
  return pino({ level, formatters, timestamp }, stream);
}
