import { formatDuration } from '../../core/config/duration.ts';
import { counted, grouped } from '../../core/values/numbers.ts';
import type { ErrorCode } from '../../errors.ts';
import type { MigrationOutcome, Migrator } from '../../migrator/migrator.ts';
import type { TargetEnd } from '../../targets/pool.ts';
import { countsOf } from '../../targets/verdict.ts';
import { type Arguments, positiveCount } from '../frame/command.ts';
import type { SeveralContext } from '../frame/context.ts';
import { judge } from '../frame/each-target.ts';
import { type Io, printJson, printLine } from '../frame/output.ts';
import type { Stopping } from './stopping.ts';
import { leftBehind, summary, tellStop } from './summary.ts';

/** What a command does with the migrations of a database, and its words where that was nothing. */
export interface Running {
  readonly work: (migrator: Migrator, target: string | null) => Promise<readonly MigrationOutcome[]>;
  readonly nothingToDo: string;
  /** The verb, with what would have to be typed again. */
  readonly again: string;
  /** The code with which a target refuses that has nothing to do, as long as another one has. */
  readonly spared?: ErrorCode;
  /** Comes before anything is run in several targets. */
  readonly before?: (several: SeveralContext) => Promise<void>;
}

type End = TargetEnd<readonly MigrationOutcome[]>;

/** Does in each target what `runMigrations` does in one database, and prints what became of each. */
export async function runInTargets(
  flags: Arguments,
  io: Io,
  several: SeveralContext & { readonly stopping: Stopping },
  running: Running,
): Promise<void> {
  const { config, fleet, view, stopping } = several;
  const first = positiveCount(flags, 'targets-first') ?? 0;
  stopping.attach(fleet, config.tuning);
  await running.before?.(several);
  const found = await fleet.each(
    ({ target, migrator }) => {
      const own = view.of(target.name);
      migrator.on('progress', (progress) => own.show(progress));
      return running.work(migrator, target.name);
    },
    view,
    { first, failFast: flags['fail-fast'] === true },
  );
  view.close();
  const { spared = null, again, nothingToDo } = running;
  const judged = await judge(several, { ends: found, spared, again }, (migrations) => ({ migrations }));
  const { ends, report, problem } = judged;
  const { json } = config.output;
  if (!json) printEnds(io, ends, nothingToDo);
  if (problem === null) return json ? printJson(io, report) : undefined;
  const isOutOfTime = flags['max-time-ok'] === true && problem.code === 'STOPPED' && stopping.isOutOfTime;
  if (isOutOfTime && ends.every(({ state }) => state !== 'failed')) return tellStop(io, problem, json);
  throw problem;
}

/** A line for each target in which something was done; what failed is in the error. */
function printEnds(io: Io, ends: readonly End[], nothingToDo: string): void {
  let idle = 0;
  for (const { target, value } of ends) {
    if (value === null) continue;
    if (value.length === 0) idle += 1;
    else printLine(io, `${target.name}: ${sumOf(value)}`);
    for (const { name, left } of value) {
      if (left !== null && left > 0) printLine(io, `${target.name}: ${leftBehind(name, left).trim()}`);
    }
  }
  if (idle > 0) printLine(io, `${counted(idle, 'target')}: ${nothingToDo}`);
  const done = ends.filter(({ state }) => state === 'done').length;
  printLine(io, [`${grouped(done)} of ${counted(ends.length, 'target')} done`, ...countsOf(ends)].join(', '));
}

/** `2 migrations, 62,000 rows, 0.6 s`; of one migration what a single database is told. */
function sumOf(outcomes: readonly MigrationOutcome[]): string {
  const [only] = outcomes;
  if (only !== undefined && outcomes.length === 1) return summary(only);
  const sum = (of: (outcome: MigrationOutcome) => number): number =>
    outcomes.reduce((before, outcome) => before + of(outcome), 0);
  const rows = sum((outcome) => outcome.rows - outcome.rowsBefore);
  return `${counted(outcomes.length, 'migration')}, ${counted(rows, 'row')}, ${formatDuration(sum(({ durationMs }) => durationMs))}`;
}
