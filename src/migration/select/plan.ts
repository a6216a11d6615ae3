import { type PlanNode, nodesOf } from '../../core/plan/query-plan.ts';
import { type RefusedClause, isRefused, refusedClauses } from './refused-clauses.ts';

/** A table by its names in the catalog. */
export interface Relation {
  readonly schema: string;
  readonly name: string;
}

/** Nodes from the root of a plan down to a scan. */
type Path = readonly PlanNode[];

/** What the plan of a select is looked at for. */
export interface PlannedBase {
  /** The base table, with its partitions. */
  readonly relations: readonly Relation[];
  /** How the select refers to it, or the place of a column of its key in the result. */
  readonly found: { readonly alias: string } | { readonly output: number };
}

const refusedNodes: Readonly<Record<string, RefusedClause>> = {
  Limit: refusedClauses.limit,
  Aggregate: refusedClauses.grouped,
  Group: refusedClauses.grouped,
  Unique: refusedClauses.distinct,
  SetOp: refusedClauses.union,
  'Recursive Union': refusedClauses.recursive,
  WindowAgg: refusedClauses.window,
  LockRows: refusedClauses.lock,
  ProjectSet: refusedClauses.setReturning,
  'Sample Scan': refusedClauses.sample,
};

// Postgres's own, which a plan shows by their bare names.
const chance = /(?<![\w.])(?:random|random_normal|gen_random_uuid|uuidv4|uuidv7)\(/;

const writing: ReadonlySet<string> = new Set(['Insert', 'Update', 'Delete', 'Merge']);

/**
 * What a plan shows to be refused before the base table is known: a statement that writes, or that chooses rows by
 * chance, or a clause of the statement itself, which stands above all joins.
 */
export function refusedAtTop(root: PlanNode, isGrouped = false): RefusedClause | null {
  if (nodesOf(root).some(({ type }) => writing.has(type))) return refusedClauses.writes;
  const conditions = nodesOf(root).flatMap((node) =>
    node.conditions.map((condition) => condition.replaceAll(/"(?:[^"]|"")*"/g, '""')),
  );
  if (conditions.some((condition) => chance.test(condition))) return refusedClauses.chance;
  for (let node: PlanNode | undefined = root; node !== undefined;) {
    const refused = refusedNodes[node.type];
    if (refused !== undefined && isRefused(refused, isGrouped)) return refused;
    const below = inputsOf(node, root);
    node = below.length === 1 ? below[0] : undefined;
  }
  return null;
}

/**
 * What stands between the rows of the base table and the result: a clause that is refused, hidden in a raw
 * fragment, in a function of one's own, or in a subquery from which the base rows come. Null where nothing
 * does, also where the planner has found that there are no rows.
 */
export function refusedAbove(root: PlanNode, base: PlannedBase, isGrouped = false): RefusedClause | null {
  const reasons = pathsOfBase(root, base).map((path) => {
    const refused = refusedOn(path, base.relations);
    return refused !== null && isRefused(refused, isGrouped) ? refused : null;
  });
  return reasons.length === 0 || reasons.includes(null) ? null : (reasons[0] ?? null);
}

/** The CTEs that are read as a whole, in each chunk, for the rows of the base table. */
export function readAsWhole(root: PlanNode, base: PlannedBase): readonly string[] {
  const names = pathsOfBase(root, base).flatMap((path) => path.map((node) => node.cte));
  return [...new Set(names.filter((name) => name !== null))];
}

/** A select may read its base table several times: the ways of the rows that are meant. */
function pathsOfBase(root: PlanNode, { relations, found }: PlannedBase): readonly Path[] {
  const all = pathsToScans(root, relations, root);
  const alias = 'alias' in found ? found.alias : ownerOf(root.output[found.output]);
  const exact = all.filter((path) => path.some((node) => node.alias === alias));
  if (exact.length > 0) return exact;
  // A partition has the alias of its table with a number.
  const near = all.filter((path) => path.some((node) => node.alias?.replace(/_\d+$/, '') === alias));
  return near.length > 0 ? near : all;
}

/** The ways by which rows of these tables get to `node`. */
function pathsToScans(node: PlanNode, relations: readonly Relation[], root: PlanNode): readonly Path[] {
  if (relations.some(({ schema, name }) => node.table === name && node.schema === schema)) return [[node]];
  return inputsOf(node, root).flatMap((child) =>
    pathsToScans(child, relations, root).map((path) => [node, ...path]),
  );
}

/** The nodes that give a node its rows; of a CTE, its plan. Subqueries of expressions are none. */
function inputsOf(node: PlanNode, root: PlanNode): readonly PlanNode[] {
  // A recursive CTE reads itself by a WorkTable Scan, which ends here.
  if (node.type === 'CTE Scan') return nodesOf(root).filter(({ subplan }) => subplan === `CTE ${node.cte}`);
  return node.children.filter(({ subplan }) => subplan === null);
}

/** `s` of the output column `s.id`, or of `"s".id`. */
export function ownerOf(column: string | undefined): string | null {
  const [, quoted, plain] = /^(?:"((?:[^"]|"")+)"|(\w+))\.(?:"(?:[^"]|"")+"|\w+)$/.exec(column ?? '') ?? [];
  return quoted?.replaceAll('""', '"') ?? plain ?? null;
}

function refusedOn(path: Path, relations: readonly Relation[]): RefusedClause | null {
  for (const [index, node] of path.entries()) {
    const next = path[index + 1];
    const refused = refusedNodes[node.type];
    if (refused !== undefined) return refused;
    if (next === undefined) continue;
    if (node.type.endsWith('Append') && !isPartitioned(node, relations)) return refusedClauses.union;
    if (isOuterSide(node, next)) return refusedClauses.outerSide;
  }
  return null;
}

/** Whether an Append puts partitions of the base table together, and not the parts of a union. */
function isPartitioned(append: PlanNode, relations: readonly Relation[]): boolean {
  const parts = append.children.map((part) =>
    pathsToScans(part, relations, part).map((path) => path.at(-1)?.table),
  );
  const names = parts.flat();
  return (
    relations.length > 1 && parts.every((part) => part.length > 0) && new Set(names).size === names.length
  );
}

/** Whether the rows of `side` come out of the join with nulls where the other side has no match. */
export function isOuterSide(join: PlanNode, side: PlanNode): boolean {
  const isInner = side.side === 'Inner';
  switch (join.join) {
    case 'Full':
      return true;
    case 'Left':
      return isInner;
    case 'Right':
      return !isInner;
    default:
      return false;
  }
}
