import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { databaseLabel } from '../../config/database.ts';
import { formatDuration } from '../../core/config/duration.ts';
import { counted, formatBytes, grouped as number } from '../../core/values/numbers.ts';
import { fail, placeError } from '../../errors.ts';
import type { Migrator, PlanReport } from '../../migrator/migrator.ts';
import type { PlanOf } from '../../migrator/plan/plan-report.ts';
import {
  describeBlocked,
  describeEstimate,
  describeOrder,
  describeRows,
  describeTrial,
  describeUndo,
  describeWrites,
} from '../../migrator/plan/plan-words.ts';
import { type Arguments, textOf } from './command.ts';
import { type PrintingContext, inEachTarget } from './each-target.ts';
import { type Io, printJson, printLine, table } from './output.ts';

type Entry = PlanReport['migrations'][number];
type Sample = NonNullable<Entry['sample']>;

/** Prints a plan, as JSON or for a person. Throws what `up` or `down` would refuse first, with the plan. */
export async function showPlan(
  flags: Arguments,
  all: Io,
  work: (migrator: Migrator) => ReturnType<Migrator['plan']>,
  { nothingToDo, again }: { readonly nothingToDo: string; readonly again: string },
): Promise<void> {
  const plans: PlanOf[] = [];
  const file = textOf(flags, 'html');
  try {
    await inEachTarget(flags, all, { again }, show);
  } finally {
    // Of a target that could not be planned at all the others are worth reading.
    if (file !== undefined && plans.length > 0) {
      const { planDocument } = await import('../../ui/report/plan-report.ts');
      writeDocument(path.resolve(all.cwd, file), planDocument(plans));
    }
  }

  async function show({ migrator, config: { output, database }, io }: PrintingContext): Promise<void> {
    const { report, problem } = await work(migrator);
    plans.push({ report, database: databaseLabel(database) });
    if (!output.json) printPlan(io, report, nothingToDo);
    else if (problem === null) printJson(io, report);
    if (problem === null) return;
    const { code, message, detail, hint, cause } = problem;
    throw fail(code, { message, detail, hint, cause, report });
  }
}

function writeDocument(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw placeError(`cannot write the plan to ${file}`, error, 'write');
  }
}

/** For a person: one paragraph a migration. */
function printPlan(io: Io, { migrations, trial }: PlanReport, nothingToDo: string): void {
  if (migrations.length === 0) return printLine(io, nothingToDo);
  for (const [index, entry] of migrations.entries()) {
    if (index > 0) printLine(io, '');
    for (const line of paragraph(entry)) printLine(io, line.trimEnd());
  }
  if (trial !== null) printLine(io, `\n${describeTrial(trial)}`);
}

function paragraph(entry: Entry): readonly string[] {
  const { name, kind, order, warnings, error } = entry;
  const begun = entry.isBegun ? ', started: this is the rest' : '';
  const lines = [`${name}${kind === null ? '' : ` (${kind}${begun})`}`];
  const blocked = describeBlocked(entry);
  if (entry.after.length > 0) lines.push(item('after', entry.after.join(', ')));
  if (kind === 'schema') lines.push(...schemaLines(entry, blocked));
  if (entry.table !== null) lines.push(item('table', `${entry.table}, by ${entry.key.join(', ')}`));
  if (blocked !== null) lines.push(item(kind === 'schema' ? 'tried' : 'sample', blocked));
  else if (entry.rows.estimated !== null || entry.rows.why !== null)
    lines.push(item('rows', describeRows(entry)));
  if (order !== null && order.why !== null) lines.push(item('order', describeOrder(order)));
  if (entry.sample !== null) lines.push(...sampleLines(entry.sample, entry.key));
  if (entry.estimate !== null) lines.push(item('whole run', describeEstimate(entry.estimate)));
  if (entry.undo !== null) {
    for (const line of describeUndo(entry.undo)) lines.push(item('undo', line));
  }
  for (const warning of warnings) lines.push(item('warning', warning));
  if (error !== null) lines.push(item('error', error.message));
  return lines;
}

function schemaLines({ schema }: Entry, blocked: string | null): readonly string[] {
  if (schema === null) {
    return blocked === null ? [item('runs', 'once, in its own transaction: nothing to sample')] : [];
  }
  return [
    item('tried', `in ${formatDuration(schema.durationMs)}, rolled back: nothing remains`),
    ...schema.statements.slice(0, mostStatements).map((sql) => item('', oneLine(sql))),
    ...schema.locks.map((lock) => item('locks', lock)),
  ];
}

const labelColumns = 11;

function item(label: string, text: string): string {
  return `  ${label.padEnd(labelColumns)}${text}`;
}

function sampleLines(sample: Sample, key: readonly string[]): readonly string[] {
  const { statements, rows, rowsPerSecond, walBytesPerRow, chunks, ownConnections } = sample;
  const sent = statements.reduce((sum, { times }) => sum + times, 0);
  const lines = [item('statements', `${number(sent)} to find the rows of a chunk and to update them`)];
  for (const { sql, times, plan } of statements.slice(0, mostStatements)) {
    lines.push(item('', `${times === 1 ? '' : `${number(times)} times `}${oneLine(sql)}`));
    for (const line of plan) lines.push(item('', `  ${line}`));
  }
  if (statements.length > mostStatements) {
    lines.push(item('', `… and ${number(statements.length - mostStatements)} more`));
  }
  lines.push(
    item(
      'sample',
      `${counted(rows, 'row')}, rolled back${ownConnections > 0 ? ', except what its own connection wrote' : ': nothing remains'}`,
    ),
  );
  for (const line of exampleLines(sample, key)) lines.push(item('', line));
  for (const { table: name, inserted, updated, hot, deleted } of sample.writes) {
    lines.push(item('writes', `${name}: ${describeWrites({ inserted, updated, hot, deleted })}`));
  }
  if (rowsPerSecond !== null) {
    const wal = walBytesPerRow === null ? '' : `, ${formatBytes(walBytesPerRow)} of WAL per row`;
    lines.push(item('measured', `${number(rowsPerSecond)} rows/s in ${counted(chunks, 'chunk')}${wal}`));
  }
  return lines;
}

const mostStatements = 6;
// The beginning names the columns, the end the locks.
const sqlBegins = 110;
const sqlEnds = 50;

function oneLine(sql: string): string {
  const text = sql.replaceAll(/\s+/g, ' ').trim();
  if (text.length <= sqlBegins + sqlEnds) return text;
  return `${text.slice(0, sqlBegins)} … ${text.slice(-sqlEnds)}`;
}

/** The rows side by side: one line for each column that changed. */
function exampleLines({ examples }: Sample, key: readonly string[]): readonly string[] {
  if (examples.length === 0) return [];
  const body = examples.flatMap(({ key: values, before, after }) =>
    Object.keys(before).map((column, index) => [
      ...(index === 0 ? values.map(shown) : values.map(() => '')),
      column,
      shown(before[column] ?? null),
      after === null ? '(deleted)' : shown(after[column] ?? null),
    ]),
  );
  return table([[...key, 'column', 'before', 'after'], ...body]);
}

const shownValue = 40;

function shown(value: string | null): string {
  if (value === null) return 'null';
  const text = value.replaceAll(/\s+/g, ' ');
  return text.length <= shownValue ? text : `${text.slice(0, shownValue)}…`;
}
