import { stopCodes } from '../../errors.ts';
import type { ErrorCode, UmzugClusterError } from '../../errors.ts';
import type { TargetEnd } from '../../targets/pool.ts';
import type { Arguments } from './command.ts';
import { type CommandContext, type SeveralContext, withContext } from './context.ts';
import { type Io, printJson, printLine } from './output.ts';

/** A command's context, with the place to which it prints: of several targets, each has one of its own. */
export interface PrintingContext extends CommandContext {
  readonly io: Io;
}

/**
 * Does `work` on the database, or in each target; then what it prints is shown below the target's name, and as JSON in
 * one document. `again`: what is typed to do it again. A target that refuses with the code `spared` has nothing to do,
 * as long as another one has.
 */
export async function inEachTarget(
  flags: Arguments,
  io: Io,
  { again, spared = null }: { readonly again: string; readonly spared?: ErrorCode | null },
  work: (context: PrintingContext) => Promise<void>,
): Promise<void> {
  await withContext(
    flags,
    io,
    (context) => work({ ...context, io }),
    async (several) => {
      const ends = await printedBy(several, io, work);
      if (!several.config.output.json) printEnds(io, ends);
      await endWith(io, several, { ends, spared, again }, (text) => fieldsIn(text));
    },
  );
}

/** What became of all targets. */
export interface Ended<T> {
  readonly ends: readonly TargetEnd<T>[];
  readonly spared?: ErrorCode | null;
  readonly again: string;
}

/** Judges several targets: the error that speaks of all of them, or null, and the document of `--json`. */
export async function judge<T>(
  { config, fleet }: SeveralContext,
  { ends: found, spared = null, again }: Ended<T>,
  fieldsOf: (value: T) => object,
): Promise<{
  readonly ends: readonly TargetEnd<T>[];
  readonly report: object;
  readonly problem: UmzugClusterError | null;
}> {
  const { endReport, verdictOn, withIdle } = await import('../../targets/verdict.ts');
  const ends = withIdle(found, spared);
  const report = { targets: config.output.json ? ends.map((end) => endReport(end, fieldsOf)) : [] };
  const stopped = fleet.stopped === null ? null : stopCodes[fleet.stopped];
  return { ends, report, problem: verdictOn(ends, { again, stopped, report }) };
}

/** Ends a command on several targets: prints the document, or throws the error that speaks of all of them. */
export async function endWith<T>(
  io: Io,
  several: SeveralContext,
  what: Ended<T>,
  fieldsOf: (value: T) => object,
): Promise<void> {
  const { report, problem } = await judge(several, what, fieldsOf);
  if (problem !== null) throw problem;
  if (several.config.output.json) printJson(io, report);
}

/** What each has printed. */
async function printedBy(
  { fleet, view }: SeveralContext,
  io: Io,
  work: (context: PrintingContext) => Promise<void>,
): Promise<readonly TargetEnd<string>[]> {
  return await fleet.each(async ({ target, ...at }) => {
    let text = '';
    const write = (more: string): void => void (text += more);
    const stdout = { write, on: () => undefined, off: () => undefined };
    await work({ ...at, view: view.of(target.name), io: { ...io, stdout } });
    return text;
  }, view);
}

function printEnds(io: Io, ends: readonly TargetEnd<string>[]): void {
  for (const { target, value } of ends) {
    const lines = (value ?? '').split('\n').filter((line) => line !== '');
    const [only = ''] = lines;
    if (lines.length === 1) printLine(io, `${target.name}: ${only}`);
    if (lines.length < 2) continue;
    printLine(io, `${target.name}:`);
    for (const line of lines) printLine(io, `  ${line}`);
  }
}

/** A list is one of migrations. */
function fieldsIn(text: string): object {
  const printed: unknown = text === '' ? {} : JSON.parse(text);
  return Array.isArray(printed) ? { migrations: printed } : (printed as object);
}
