import { createRequire } from 'node:module';
import type { DestinationStream, Logger as Pino } from 'pino';
import type { LogLevel, Output } from './config/config.ts';
import { type LogRecordLine, githubLine } from './core/config/github-lines.ts';
import type { LogRecord } from './core/config/log-events.ts';
import { loggable } from './core/errors/loggable.ts';
import { redact } from './core/errors/redact.ts';
import { pasteable } from './core/values/invocation.ts';

/** Writes the records of `core/log-events` to stderr. */
export interface Logger {
  debug(record: LogRecord, message?: string): void;
  info(record: LogRecord, message?: string): void;
  warn(record: LogRecord, message?: string): void;
  error(record: LogRecord, message?: string): void;
}

/** Where lines go: the process's own stderr, which is written to by its descriptor, or a stand-in. */
interface Destination {
  readonly fd?: number | undefined;
  write(text: string): unknown;
}

/** The level of a record. */
export type WrittenLevel = Exclude<LogLevel, 'silent'>;

const severity: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50, silent: 99 };

/**
 * A logger for the process. pino is loaded with the first record that is written (some 40 ms), so a command
 * that logs nothing does not pay. Every write is synchronous: on SIGTERM, pino's asynchronous default lost
 * 199 of 200 lines, its transports all 200, this none.
 *
 * `writePretty` takes the lines that are written for people; who draws on the terminal puts them above the drawing.
 */
export function createLogger(
  output: Output,
  stderr: Destination,
  writePretty: (text: string) => void = (text) => void stderr.write(text),
): Logger {
  let opened: Pino | null = null;
  const open = (): Pino => (opened ??= openPino(output, stderr, writePretty));
  const write = (level: WrittenLevel, fields: LogRecord, message?: string): void => {
    if (!isLogged(level, output.logLevel)) return;
    const sentence = message === undefined ? undefined : pasteable(redact(message));
    open()[level](loggable(fields, output.verbose), sentence);
  };
  return {
    debug: (record, message) => write('debug', record, message),
    info: (record, message) => write('info', record, message),
    warn: (record, message) => write('warn', record, message),
    error: (record, message) => write('error', record, message),
  };
}

/** A logger whose records, and sentences, name one of several targets. */
export function loggerOf(logger: Logger, target: string): Logger {
  const write =
    (level: WrittenLevel) =>
    (record: LogRecord, message?: string): void =>
      logger[level]({ ...record, target }, message === undefined ? undefined : `${target}: ${message}`);
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Whether records of a level are written where `least` is the least level. */
export function isLogged(level: WrittenLevel, least: LogLevel): boolean {
  return severity[level] >= severity[least];
}

/** `createRequire`, because the first record must be written before anything else happens: no `await`. */
function openPino(output: Output, stderr: Destination, writePretty: (text: string) => void): Pino {
  const require = createRequire(import.meta.url);
  const { pino } = require('pino') as typeof import('pino');
  const level = output.logLevel;
  const formatters = { level: (label: string): object => ({ level: label }) };
  const timestamp = pino.stdTimeFunctions.isoTime;
  if (output.logFormat === 'json') {
    const stream = stderr.fd === 2 ? pino.destination({ dest: 2, sync: true }) : null;
    stream?.on('error', () => undefined); // The reader of stderr went away; the run continues.
    return pino({ level, formatters, timestamp }, stream ?? { write: (line) => void stderr.write(line) });
  }
  const { prettyFactory } = require('pino-pretty') as typeof import('pino-pretty');
  const looks = {
    colorize: output.color,
    singleLine: true,
    ignore: 'pid,hostname,level,time',
    messageFormat,
  };
  const full = prettyFactory(looks);
  // A sentence says it all to a person; a record without one is shown with its fields.
  const brief = output.verbose ? full : prettyFactory({ ...looks, hideObject: true });
  const stream: DestinationStream = {
    write: (written) => {
      const record = JSON.parse(written) as LogRecordLine;
      const text = (record.msg === undefined ? full : brief)(record)?.trimEnd() ?? written;
      writePretty(`${output.logFormat === 'github' ? githubLine(record, text) : text}\n`);
    },
  };
  return pino({ level, formatters, timestamp }, stream);
}

/** `12:03:41 INFO sku-norm: up`, in one line. The time is local. */
function messageFormat(log: Readonly<Record<string, unknown>>): string {
  const [clock = ''] = new Date(String(log['time'])).toTimeString().split(' ');
  const { msg = '' } = log as { readonly msg?: string };
  return `${clock} ${String(log['level']).toUpperCase()} ${msg.replace(/\s*\n\s*/g, ' ')}`.trimEnd();
}
