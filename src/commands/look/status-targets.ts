import { grouped as number } from '../../core/values/numbers.ts';
import type { StatusReport } from '../../migrator/migrator.ts';
import { messageOf } from '../../errors.ts';
import type { TargetEnd } from '../../targets/pool.ts';
import { table } from '../frame/output.ts';
import { statusLines } from './status-table.ts';

type End = TargetEnd<StatusReport>;

const head = ['target', 'executed', 'pending', 'rows', 'others'];
const rightAligned = [1, 2, 3];

/** The status of several targets: a line each, and below them what has to be said; of one target all that there is. */
export function statusOfTargets(ends: readonly End[], details: boolean): readonly string[] {
  const [only] = ends;
  if (only?.value != null && ends.length === 1)
    return [`${only.target.name}:`, ...statusLines(only.value, details)];
  const lines = table([head, ...ends.map(cells)], rightAligned);
  return [...lines, ...ends.flatMap((end) => remarks(end, details))];
}

function cells({ target, value, error }: End): readonly string[] {
  if (value === null) return [target.name, '', '', '', error === null ? 'not looked at' : 'unknown'];
  const states = new Map<string, number>();
  for (const { state } of value.migrations) states.set(state, (states.get(state) ?? 0) + 1);
  const { executed = 0, pending = 0, ...others } = Object.fromEntries(states);
  const rows = value.migrations.reduce((sum, one) => sum + one.rows.done, 0);
  const said = Object.entries(others).map(([state, count]) => `${count} ${state}`);
  return [target.name, number(executed), number(pending), number(rows), said.join(', ')];
}

/** As in the table of one database, below which they are. */
function remarks({ target, value, error }: End, details: boolean): readonly string[] {
  if (value === null) return error === null ? [] : [`  ${target.name}: ${messageOf(error)}`];
  const [, ...lines] = statusLines(value, details);
  return lines.slice(value.migrations.length).map((line) => `  ${target.name}: ${line.trim()}`);
}
