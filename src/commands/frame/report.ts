import os from 'node:os';
import type { LastWords } from '../../cluster/process/process-watch.ts';
import { UmzugClusterError, exitCodes, isStop, messageOf } from '../../errors.ts';
import type { ErrorCode } from '../../errors.ts';
import type { LogLevel } from '../../config/config.ts';
import { flagsOfVariables } from '../../config/variables.ts';
import { annotation, groupEnd } from '../../core/config/github-lines.ts';
import { type LogFormat, logFormatOf, logFormats } from '../../core/config/log-format.ts';
import { redact } from '../../core/errors/redact.ts';
import { pasteable } from '../../core/values/invocation.ts';
import { type Logger, createLogger } from '../../logger.ts';
import { type Io, asJson, printJson, printNote } from './output.ts';

interface Report {
  readonly code: ErrorCode;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
}

/** Where an error is written to. */
type Streams = Pick<Io, 'stdout' | 'stderr'>;

/** What a shell makes of SIGKILL. */
const killedCode = 137;

/** What the command line asks for, known before it is parsed: it may be what is wrong. */
export interface EarlyFlags {
  readonly json: boolean;
  readonly verbose: boolean;
  /** `json`: every line on stderr is a record. */
  readonly logFormat: LogFormat;
  /** `--log-level`, where it is one. */
  readonly logLevel: string | null;
}

/** Reads the wishes from a command line that may be wrong. */
export function earlyFlags(args: readonly string[], { env, stderr }: Pick<Io, 'env' | 'stderr'>): EarlyFlags {
  const { flags } = flagsOfVariables(env);
  const has = (name: string): boolean =>
    flags[name] === true || args.some((arg) => arg === `--${name}` || arg === `--${name}=true`);
  const logFormat = logFormats.find((format) => format === valueOf(args, '--log-format'));
  const logLevel = valueOf(args, '--log-level') ?? flags['log-level'];
  return {
    json: has('json'),
    verbose: has('verbose'),
    logFormat: logFormatOf(logFormat ?? flags['log-format'], env, stderr.isTTY === true),
    logLevel: typeof logLevel === 'string' ? logLevel : null,
  };
}

function valueOf(args: readonly string[], flag: string): string | null {
  const joined = args.find((arg) => arg.startsWith(`${flag}=`));
  if (joined !== undefined) return joined.slice(flag.length + 1);
  const at = args.indexOf(flag);
  return at < 0 ? null : (args[at + 1] ?? null);
}

/**
 * Says what went wrong, once, and returns the exit code: as one JSON document on stdout, or as message, detail
 * and hint on stderr. A stack is shown only with `verbose`.
 */
export function reportError(io: Streams, thrown: unknown, { json, verbose, logFormat }: EarlyFlags): number {
  const report = describe(thrown);
  const stack = verbose ? redact(stackOf(thrown)) : null;
  if (json) printJson(io, { ...(thrown instanceof UmzugClusterError ? thrown.report : {}), error: report });
  if (logFormat === 'json') {
    logFailure(io, report, stack);
  } else {
    if (stack !== null) printNote(io, stack);
    if (logFormat === 'github') annotate(io, report);
    // A person at a terminal is told of a stop even when stdout goes to a program.
    else if (!json || isStop(report.code)) printNote(io, asText(report));
  }
  return exitCodes[report.code];
}

/** The same for a process that will be killed, which cannot write it any more. */
export function lastWords(thrown: unknown, { json, logFormat }: EarlyFlags): LastWords {
  const report = describe(thrown);
  const { code, message, detail, hint } = report;
  const from = { level: 'error', pid: process.pid, hostname: os.hostname(), event: 'command.failed' };
  const record = { ...from, code, exitCode: killedCode, detail, hint, stack: null, msg: message };
  const text = json ? '' : `${asText(report)}\n`;
  return { stdout: json ? asJson({ error: report }) : '', stderr: logFormat === 'json' ? record : text };
}

/** Has what Node and packages warn of written as records, where every line is to be one. */
export function takeWarnings(io: Pick<Io, 'stderr'>, { logFormat, logLevel }: EarlyFlags): void {
  if (logFormat !== 'json') return;
  const isWritten = logLevel !== 'error' && logLevel !== 'silent';
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (isWritten)
      jsonLogger(io, 'warn').warn({ event: 'node.warned', name: warning.name }, messageOf(warning));
  });
}

/** Also where `--json` holds stdout: Actions reads both streams, and an annotation is no second report. */
function annotate(io: Streams, report: Report): void {
  const [first = '', ...more] = asText(report).split('\n');
  const text = [first.replace(/^error: /, ''), ...more].join('\n');
  const level = isStop(report.code) ? 'warn' : 'error';
  printNote(io, `${groupEnd}\n${annotation(level, text)}`);
}

function logFailure(io: Streams, { code, message, detail, hint }: Report, stack: string | null): void {
  const exitCode = exitCodes[code];
  const record = { event: 'command.failed', code, exitCode, detail, hint, stack } as const;
  jsonLogger(io, 'error', stack !== null).error(record, message);
}

function jsonLogger({ stderr }: Pick<Io, 'stderr'>, logLevel: LogLevel, verbose = false): Logger {
  return createLogger(
    { json: false, logFormat: 'json', logLevel, progress: false, color: false, verbose },
    stderr,
  );
}

function describe(thrown: unknown): Report {
  if (thrown instanceof UmzugClusterError) {
    const { code, message, detail, hint } = thrown;
    return {
      code,
      message: redact(message),
      detail: detail === undefined ? null : pasteable(redact(detail)),
      hint: hint === undefined ? null : pasteable(redact(hint)),
    };
  }
  const [message = ''] = redact(messageOf(thrown)).split('\n');
  const { code } = (thrown ?? {}) as { readonly code?: unknown };
  if (code === 'EMFILE' || code === 'ENFILE') {
    const hint = 'raise the limit, such as with ulimit -n 1024, and run it again';
    return { code: 'CONFIG', message: message.replace(/^E[MN]FILE: /, ''), detail: null, hint };
  }
  return {
    code: 'INTERNAL',
    message: `unexpected error: ${message}`,
    detail: null,
    hint: 'run again with --verbose and report the stack',
  };
}

function asText({ code, message, detail, hint }: Report): string {
  // A further line of a message must not look like a message of its own.
  const lines = [`${isStop(code) ? '' : 'error: '}${message.replaceAll('\n', '\n  ')}`];
  if (detail !== null) lines.push(`  ${detail.replaceAll('\n', '\n  ')}`);
  if (hint !== null) lines.push(`  hint: ${hint}`);
  return lines.join('\n');
}

function stackOf(thrown: unknown): string {
  const stacks: string[] = [];
  for (let error = thrown; error instanceof Error && stacks.length < 5; error = error.cause) {
    stacks.push(error.stack ?? error.message);
  }
  return stacks.join('\ncaused by: ') || messageOf(thrown);
}
