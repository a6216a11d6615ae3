import { databaseLabel } from '../config/database.ts';
import { leadingCode } from '../core/targets/outcome.ts';
import { redact } from '../core/errors/redact.ts';
import { onTarget } from '../core/values/invocation.ts';
import { counted, grouped, mostListed } from '../core/values/numbers.ts';
import { type ErrorCode, UmzugClusterError, fail, messageOf } from '../errors.ts';
import { type TargetEnd, codeIn } from './pool.ts';

type End = TargetEnd<unknown>;

/** What was asked of all targets, for the error that speaks of them. */
export interface Verdict {
  /** To type again, after the program: `up`. */
  readonly again: string;
  /** The command itself was stopped; null: it was not. */
  readonly stopped: ErrorCode | null;
  /** What `--json` prints beside the error. */
  readonly report: object;
}

/** The error that the command ends with, of the one target that has failed or of several; null: all are done. */
export function verdictOn(
  ends: readonly End[],
  { again, stopped, report }: Verdict,
): UmzugClusterError | null {
  const open = ends.filter(isOpen);
  if (open.length === 0) return null;
  const ended = open.filter(({ state }) => state !== 'skipped');
  const code = stopped ?? leadingCode(ended.map(({ error }) => codeIn(error))) ?? 'STOPPED';
  const [first] = ended;
  if (first !== undefined && open.length === 1 && stopped === null) return ofOne(first, report);
  const listed = ended.slice(0, mostListed).map(({ target, error }) => `${target.name}: ${messageOf(error)}`);
  const more = ended.length - listed.length;
  return fail(code, {
    message: `of ${counted(ends.length, 'target')}, ${countsOf(open).join(', ')}`,
    detail: [...listed, ...(more > 0 ? [`and ${more} more`] : [])].join('\n') || undefined,
    hint: `run it again: umzug-cluster ${again}; finished work is kept${ended.length === 1 && first ? `; or in one target: umzug-cluster ${again} --targets ${first.target.name}` : ''}`,
    report,
    cause: first?.error,
  });
}

/** Where one is done, those that refuse with this code had nothing to do: they are skipped, and no failure. */
export function withIdle<T>(ends: readonly TargetEnd<T>[], idle: ErrorCode | null): readonly TargetEnd<T>[] {
  if (idle === null || !ends.some(({ state }) => state === 'done')) return ends;
  return ends.map((end) =>
    end.error !== null && codeIn(end.error) === idle ? { ...end, state: 'skipped' } : end,
  );
}

/** Whether something is still to be done in it. */
function isOpen({ state, error }: End): boolean {
  return state !== 'done' && (state !== 'skipped' || error === null);
}

const words = { failed: 'failed', stopped: 'stopped', skipped: 'not started' } as const;

/** `2 failed`, `1 stopped`, `7 not started`: those that there are. */
export function countsOf(ends: readonly End[]): readonly string[] {
  return (['failed', 'stopped', 'skipped'] as const).flatMap((state) => {
    const count = ends.filter((end) => end.state === state && isOpen(end)).length;
    return count === 0 ? [] : [`${grouped(count)} ${words[state]}`];
  });
}

function ofOne({ target, error }: End, report: object): UmzugClusterError {
  if (!(error instanceof UmzugClusterError)) {
    return fail('INTERNAL', {
      message: `${target.name}: unexpected error: ${redact(messageOf(error))}`,
      report,
      cause: error,
    });
  }
  const { code, message, detail, hint } = error;
  const at = (text: string | undefined): string | undefined => text && onTarget(text, target.name);
  return fail(code, {
    message: `${target.name}: ${at(message)}`,
    detail: at(detail),
    hint: at(hint),
    report,
    cause: error,
  });
}

/** One target as `--json` prints it, beside what `of` says of its value. */
export function endReport<T>(
  { target, state, value, error }: TargetEnd<T>,
  of: (value: T) => object,
): object {
  const { name, config } = target;
  const {
    code,
    message,
    detail = null,
    hint = null,
  } = error instanceof UmzugClusterError ? error : { code: 'INTERNAL', message: messageOf(error) };
  const at = (text: string | null): string | null => text && redact(onTarget(text, name));
  const said = error === null ? null : { code, message: at(message), detail: at(detail), hint: at(hint) };
  return {
    target: name,
    database: databaseLabel(config.database),
    state,
    ...(value === null ? reportIn(error) : of(value)),
    error: said,
  };
}

/** What it had found out. */
function reportIn(error: unknown): object {
  return (error instanceof UmzugClusterError ? error.report : undefined) ?? {};
}
