import { formatDuration } from '../../core/config/duration.ts';
import { counted, formatBytes, grouped as number } from '../../core/values/numbers.ts';
import type { MigrationPlan, PlanOf } from '../../migrator/plan/plan-report.ts';
import {
  describeBlocked,
  describeEstimate,
  describeOrder,
  describeUndo,
  describeRows,
  describeTrial,
  describeWrites,
} from '../../migrator/plan/plan-words.ts';
import { type Html, type Piece, documentOf, factsOf, markup, tableOf } from './html.ts';

type Sample = NonNullable<MigrationPlan['sample']>;

/** Plans as one HTML file, for a review: rows before and after side by side, what is written, log and time; the triggers that fire are among its warnings. */
export function planDocument(plans: readonly PlanOf[]): string {
  const sorted = plans.toSorted((one, other) => (one.database < other.database ? -1 : 1));
  const only = sorted.length === 1 ? sorted[0]?.database : undefined;
  return documentOf(`Plan for ${only ?? counted(sorted.length, 'target')}`, sorted.map(partOf));
}

function partOf({ report: { migrations, trial }, database }: PlanOf): Html {
  const body: Piece = migrations.length === 0 ? markup`<p>nothing is pending</p>` : migrations.map(sectionOf);
  const tried = trial === null ? null : markup`<p>${describeTrial(trial)}</p>\n`;
  return markup`<h1>Plan for ${database}</h1>\n${tried}${body}`;
}

function sectionOf(plan: MigrationPlan): Html {
  const { name, table, key, sample, estimate, select, schema } = plan;
  const facts = factsOf([
    ['Kind', kindOf(plan)],
    ['Table', table === null ? null : `${table}, by ${key.join(', ')}`],
    ['After', plan.after.length === 0 ? null : plan.after.join(', ')],
    ['Tried', schema === null ? null : `in ${formatDuration(schema.durationMs)}, rolled back`],
    ['Locks', schema === null || schema.locks.length === 0 ? null : schema.locks.join(', ')],
    ['Rows', rowsOf(plan)],
    ['Whole run', estimate === null ? null : describeEstimate(estimate)],
    ['Undo', plan.undo === null ? null : describeUndo(plan.undo).join('; ')],
    ['Measured', sample === null ? null : measured(sample)],
    ['Sample', sample === null ? null : sampled(sample)],
    ['Order', plan.order === null || plan.order.why === null ? null : describeOrder(plan.order)],
    ...plan.warnings.map((text) => ['Warning', markup`<strong>${text}</strong>`] as const),
    ['Error', plan.error === null ? null : markup`<span class="error">${plan.error.message}</span>`],
  ]);
  return markup`<h2>${name}</h2>
${facts}
${sample === null ? null : detailsOf(sample, key)}
${schema === null ? null : markup`<h3>Statements</h3>\n<pre>${schema.statements.join(';\n')}</pre>`}
${select === null ? null : markup`<h3>Select</h3>\n<pre>${select}</pre>`}
`;
}

function kindOf({ kind, isBegun }: MigrationPlan): string {
  if (kind === null) return 'unknown: the file cannot be loaded';
  return isBegun ? `${kind}, started: this is the rest` : kind;
}

function rowsOf(plan: MigrationPlan): string | null {
  const { rows } = plan;
  const blocked = describeBlocked(plan);
  if (blocked !== null) return blocked;
  return rows.estimated === null && rows.why === null ? null : describeRows(plan);
}

function measured({ rowsPerSecond, chunks, walBytesPerRow }: Sample): string | null {
  if (rowsPerSecond === null) return null;
  const wal = walBytesPerRow === null ? '' : `, ${formatBytes(walBytesPerRow)} of WAL per row`;
  return `${number(rowsPerSecond)} rows/s in ${counted(chunks, 'chunk')}${wal}`;
}

function sampled({ rows, ownConnections }: Sample): string {
  return `${counted(rows, 'row')}, rolled back${ownConnections > 0 ? ', except what its own connection wrote' : ''}`;
}

function detailsOf({ examples, writes, statements }: Sample, key: readonly string[]): Piece {
  const compared = examples.flatMap(({ key: values, before, after }) =>
    Object.entries(before).map(([column, old], index) => [
      ...key.map((_name, at) => (index === 0 ? (values[at] ?? null) : null)),
      column,
      markup`<span class="value">${old ?? 'null'}</span>`,
      markup`<span class="value changed">${after === null ? '(deleted)' : (after[column] ?? 'null')}</span>`,
    ]),
  );
  const written = writes.map(({ table, inserted, updated, hot, deleted }) => [
    table,
    describeWrites({ inserted, updated, hot, deleted }),
  ]);
  const sent = statements.map(({ sql, times, plan }) => [
    number(times),
    markup`<pre>${[sql, ...plan].join('\n')}</pre>`,
  ]);
  return [
    title('Before and after', tableOf([...key, 'Column', 'Before', 'After'], compared), compared),
    title('What it writes', tableOf(['Table', 'Rows'], written), written),
    title('Statements of a chunk', tableOf(['Times', 'Statement'], sent), sent),
  ];
}

function title(text: string, body: Html, rows: readonly unknown[]): Html | null {
  return rows.length === 0 ? null : markup`<h3>${text}</h3>\n${body}\n`;
}
