import { UmzugClusterError, exitCodes, messageOf } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { redact } from '../core/redact.ts';
import { printJson, printNote } from './output.ts';

interface Report {
  readonly code: ErrorCode;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
}

/** Stopped on request, resumable: a person at a terminal is told even when stdout goes to a program. */
const stops: ReadonlySet<ErrorCode> = new Set(['STOPPED', 'HANGUP', 'INTERRUPTED', 'TERMINATED']);

/**
 * Says what went wrong, once, and returns the exit code: as one JSON document on stdout, or as message, detail
 * and hint on stderr. A stack is shown only with `verbose`.
 */
export function reportError(
  thrown: unknown,
  { json, verbose }: { readonly json: boolean; readonly verbose: boolean },
): number {
  const report = describe(thrown);
  if (verbose) printNote(redact(stackOf(thrown)));
  if (json) printJson({ ...(thrown instanceof UmzugClusterError ? thrown.report : {}), error: report });
  if (!json || stops.has(report.code)) printNote(asText(report));
  return exitCodes[report.code];
}

function describe(thrown: unknown): Report {
  if (thrown instanceof UmzugClusterError) {
    const { code, message, detail, hint } = thrown;
    return {
      code,
      message: redact(message),
      detail: detail === undefined ? null : redact(detail),
      hint: hint === undefined ? null : redact(hint),
    };
  }
  const [message = ''] = redact(messageOf(thrown)).split('\n');
  return {
    code: 'INTERNAL',
    message: `unexpected error: ${message}`,
    detail: null,
    hint: 'run again with --verbose and report the stack',
  };
}

function asText({ message, detail, hint }: Report): string {
  const lines = [`error: ${message}`];
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
