import { quote } from '../../core/values/quote.ts';
import { type PlanNode, equalities, nodesOf } from '../../core/plan/query-plan.ts';
import { type Relation, ownerOf } from './plan.ts';

/**
 * What a select reads of its base table besides the rows that it returns: in a CTE, a window, a subquery, a join
 * with itself. Where an update changes that, each chunk is selected by what earlier ones have changed.
 */

/** Nodes from the root of a plan down to a scan, those of subqueries in expressions included. */
type Path = readonly PlanNode[];

/** Above these a row is not that of one row of the table any more. */
const gathering: ReadonlySet<string> = new Set([
  'Aggregate',
  'Group',
  'WindowAgg',
  'Unique',
  'SetOp',
  'Limit',
  'Recursive Union',
]);

/**
 * The columns of the base table, its partitions included, that are read of other rows; `*`: all of them. `keyed`:
 * the plan of the select, with the base row's key, of these names, as its last columns. A row that is joined to
 * itself by its key is no other.
 */
export function readOfOthers(
  keyed: PlanNode,
  relations: readonly Relation[],
  key: readonly string[],
): readonly string[] {
  const base = baseOf(keyed, keyed.output.at(-1));
  if (base === null) return [];
  const nodes = nodesOf(keyed);
  const sure = new Set(nodes.flatMap(({ conditions }) => conditions.flatMap(equalities)));
  const isBase = ({ alias }: PlanNode): boolean =>
    // A partition has the alias of its table with a number.
    alias === base || (relations.length > 1 && alias?.replace(/_\d+$/, '') === base);
  const others = pathsIn(keyed, keyed, relations)
    .map(withinExpression)
    .filter((path) => !path.some(isBase) && !isOwnRow(path, { base, key, sure }));
  const columns = others.flatMap((path) => {
    const scan = path.at(-1);
    return scan === undefined ? [] : readFrom(scan, nodes);
  });
  return [...new Set(columns)];
}

/** The part of a way that is in the innermost subquery of an expression, where it is in one. */
function withinExpression(path: Path): Path {
  const begins = path.findLastIndex(({ subplan }) => subplan?.startsWith('CTE ') === false);
  return path.slice(Math.max(0, begins));
}

/** The alias of the scan that a column comes from, through the subquery that a select as a whole is in. */
function baseOf(node: PlanNode, column: string | undefined): string | null {
  const owner = ownerOf(column);
  if (node.type !== 'Subquery Scan' || node.alias !== owner) return owner;
  const [inside] = node.children;
  // Its columns come first, in their order.
  return inside === undefined ? null : baseOf(inside, inside.output[node.output.indexOf(column ?? '')]);
}

function isOwnRow(
  path: Path,
  { base, key, sure }: { base: string; key: readonly string[]; sure: ReadonlySet<string> },
): boolean {
  if (path.some(({ type }) => gathering.has(type))) return false;
  const aliases = path.flatMap(({ alias }) => (alias === null ? [] : [alias]));
  return key.every((name) =>
    aliases.some((alias) => {
      const [one, other] = [`${quoted(base)}.${quoted(name)}`, `${quoted(alias)}.${quoted(name)}`];
      return sure.has(`${one} = ${other}`) || sure.has(`${other} = ${one}`);
    }),
  );
}

function pathsIn(node: PlanNode, root: PlanNode, relations: readonly Relation[]): readonly Path[] {
  const isScan = relations.some(({ schema, name }) => node.table === name && node.schema === schema);
  // The plan of a CTE is part of the way of those who read it.
  const below =
    node.type === 'CTE Scan'
      ? nodesOf(root).filter(({ subplan }) => subplan === `CTE ${node.cte}`)
      : node.children.filter(({ subplan }) => subplan?.startsWith('CTE ') !== true);
  const paths = below.flatMap((child) => pathsIn(child, root, relations).map((path) => [node, ...path]));
  return isScan ? [[node], ...paths] : paths;
}

/**
 * Columns of a scan that its plan makes use of. What the scan itself returns may be all that is stored, whoever
 * asks for it; of a subquery that is nothing but the scan it is what is asked for.
 */
function readFrom(scan: PlanNode, nodes: readonly PlanNode[]): readonly string[] {
  const alias = quoted(scan.alias ?? '').replaceAll(/[$"]/g, String.raw`\$&`);
  const reference = new RegExp(String.raw`(?<![\w$."])${alias}\.("(?:[^"]|"")+"|[\w$]+|\*)`, 'g');
  const texts = nodes.flatMap((node) => [
    ...node.conditions,
    ...(node === scan && node.subplan === null ? [] : node.output),
  ]);
  return texts.flatMap((text) =>
    [...text.matchAll(reference)].map(([, name = '']) =>
      name.replace(/^"(.*)"$/, '$1').replaceAll('""', '"'),
    ),
  );
}

// As Postgres writes them in a plan, but for the words that it reserves.
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : quote(name);
}
