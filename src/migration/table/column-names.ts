import { type PlanNode, equalities, outputOf } from '../../core/plan/query-plan.ts';
import { fail } from '../../errors.ts';
import type { BaseTable } from '../key/key.ts';
import { isOuterSide } from '../select/plan.ts';
import type { ResultColumn } from './raw-base.ts';

/**
 * The names of what select returns. A row has one value for each name: of two columns that share one, the later
 * hides the other.
 */

/** Throws SELECT_REFUSED where two columns with different values have one name, the key's before any other. */
export function refuseSharedNames(
  columns: readonly ResultColumn[],
  plan: PlanNode,
  { key, name: table }: Pick<BaseTable, 'key' | 'name'>,
  file: string,
): void {
  const sources = outputOf(plan);
  const equal = equalitiesIn(plan);
  const isSame = (one: string, other: string): boolean =>
    one === other || equal.includes(`${one} = ${other}`) || equal.includes(`${other} = ${one}`);
  const last = new Map(columns.map(({ name }, index) => [name, index]));
  const shared = columns.flatMap(({ name }, index) => {
    const [hidden = '', shown = ''] = [sources[index], sources[last.get(name) ?? index]];
    return isSame(hidden, shown) ? [] : [{ name, hidden: shownAs(hidden), shown: shownAs(shown) }];
  });
  const names = key.map((column) => column.name);
  const first = shared.find(({ name }) => names.includes(name)) ?? shared[0];
  if (first === undefined) return;
  const { name, hidden, shown } = first;
  const others = [...new Set(shared.map((one) => one.name))].filter((one) => one !== name);
  const what = names.includes(name) ? `, the key of "${table}"` : '';
  throw fail('SELECT_REFUSED', {
    message: `${file}: select returns two columns named "${name}": row.${name} would be ${shown}, not ${hidden}${what}`,
    ...(others.length > 0 && { detail: `also with ${others.map((one) => `"${one}"`).join(', ')}` }),
    hint: `list the columns that update needs, and rename one of the two: ${example(shown, name)}`,
  });
}

/** What to say where a row has no key of its own table, but a column of another one under the key's name. */
export function foreignKeyNames(
  columns: readonly ResultColumn[],
  plan: PlanNode,
  base: BaseTable,
  file: string,
): readonly string[] {
  const isKey = ({ tableID, columnID }: ResultColumn, attnum: number): boolean =>
    String(tableID) === base.oid && columnID === attnum;
  return base.key.flatMap(({ name, attnum }) => {
    const at = columns.findIndex((column) => column.name === name && column.tableID !== 0);
    if (at === -1 || columns.some((column) => isKey(column, attnum))) return [];
    return [`${file}: row.${name} is ${shownAs(outputOf(plan)[at])}, not the key of "${base.name}"`];
  });
}

const column = /^(?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?$/;

/** An expression may hold values, and is not shown. */
function shownAs(source: string | undefined): string {
  return source !== undefined && column.test(source) ? source : 'an expression';
}

function example(shown: string, name: string): string {
  const [owner = '', rest] = shown.split('.');
  return rest === undefined ? `db.raw('… as other_${name}')` : `${shown} as ${owner}_${name}`;
}

/** What joins and conditions guarantee for every row that comes out. */
function equalitiesIn(node: PlanNode): readonly string[] {
  const isSure = node.join === null || node.join === 'Inner' || node.join === 'Semi';
  const own = isSure ? node.conditions.flatMap(equalities) : [];
  const below = node.children.filter((child) => child.subplan === null && !isOuterSide(node, child));
  return [...own, ...below.flatMap(equalitiesIn)];
}
