import { type RefusedClause, refusedClauses } from './refused-clauses.ts';

/** A node of `explain (verbose, format json)`. */
export interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Parent Relationship'?: string;
  readonly 'Subplan Name'?: string;
  readonly 'CTE Name'?: string;
  readonly 'Join Type'?: string;
  readonly Schema?: string;
  readonly 'Relation Name'?: string;
  readonly Alias?: string;
  readonly Output?: readonly string[];
  readonly Plans?: readonly PlanNode[];
}

/** A table by its names in the catalog. */
export interface Relation {
  readonly schema: string;
  readonly name: string;
}

/** What the plan of a select is looked at for. */
export interface PlannedBase {
  /** The base table, with its partitions. */
  readonly relations: readonly Relation[];
  /** How the select refers to it, or the place of a column of its key in a whole select. */
  readonly found: { readonly alias: string } | { readonly output: number };
}

/** Nodes from the root of a plan down to a scan. */
type Path = readonly PlanNode[];

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
};

/**
 * What a plan shows to be refused before the base table is known: a statement that writes, or a clause of the
 * statement itself, which stands above all joins.
 */
export function refusedAtTop(root: PlanNode): RefusedClause | null {
  if (writes(root)) return refusedClauses.writes;
  for (let node: PlanNode | undefined = root; node !== undefined;) {
    const refused = refusedNodes[node['Node Type']];
    if (refused !== undefined) return refused;
    const below = inputs(node, root);
    node = below.length === 1 ? below[0] : undefined;
  }
  return null;
}

/**
 * What stands between the rows of the base table and the result: a clause that is refused, hidden in a raw
 * fragment, in a function of one's own, or in a subquery from which the base rows come. Null where nothing
 * does, also where the planner has found that there are no rows.
 */
export function refusedAbove(root: PlanNode, base: PlannedBase): RefusedClause | null {
  const all = pathsTo(root, root, (node) => isScanOf(node, base.relations));
  const reasons = meantBy(root, all, base).map((path) => refusedOn(path, base.relations));
  return reasons.length === 0 || reasons.includes(null) ? null : (reasons[0] ?? null);
}

/** The CTEs that are read as a whole, in each chunk, for the rows of the base table. */
export function readAsWhole(root: PlanNode, base: PlannedBase): readonly string[] {
  const all = pathsTo(root, root, (node) => isScanOf(node, base.relations));
  const names = meantBy(root, all, base).flatMap((path) => path.map((node) => node['CTE Name']));
  return [...new Set(names.filter((name) => name !== undefined))];
}

function writes(node: PlanNode): boolean {
  return node['Node Type'] === 'ModifyTable' || (node.Plans ?? []).some(writes);
}

/** The nodes that give a node its rows; of a CTE, its plan. Subqueries of expressions are none. */
function inputs(node: PlanNode, root: PlanNode): readonly PlanNode[] {
  // A recursive CTE reads itself by a WorkTable Scan, which ends here.
  if (node['Node Type'] === 'CTE Scan') return subplans(root, `CTE ${node['CTE Name'] ?? ''}`);
  return (node.Plans ?? []).filter((child) => child['Subplan Name'] === undefined);
}

function subplans(node: PlanNode, name: string): readonly PlanNode[] {
  if (node['Subplan Name'] === name) return [node];
  return (node.Plans ?? []).flatMap((child) => subplans(child, name));
}

function pathsTo(root: PlanNode, node: PlanNode, isEnd: (node: PlanNode) => boolean): readonly Path[] {
  if (isEnd(node)) return [[node]];
  return inputs(node, root).flatMap((child) => pathsTo(root, child, isEnd).map((path) => [node, ...path]));
}

function isScanOf(node: PlanNode, relations: readonly Relation[]): boolean {
  const { Schema: schema, 'Relation Name': name } = node;
  return name !== undefined && relations.some((one) => one.name === name && one.schema === schema);
}

/** Of the scans of the base table those that are meant; a select may read it several times. */
function meantBy(root: PlanNode, paths: readonly Path[], { found }: PlannedBase): readonly Path[] {
  const alias = 'alias' in found ? found.alias : ownerOf(root.Output?.[found.output]);
  // A partition has the alias of its table with a number.
  const isMeant = (node: PlanNode): boolean =>
    node.Alias !== undefined && (node.Alias === alias || node.Alias.replace(/_\d+$/, '') === alias);
  const exact = paths.filter((path) => path.some((node) => node.Alias === alias));
  if (exact.length > 0) return exact;
  const near = paths.filter((path) => path.some(isMeant));
  return near.length > 0 ? near : paths;
}

/** `s` of the output column `s.id`, or of `"s".id`. */
function ownerOf(column: string | undefined): string | null {
  const [, quoted, plain] = /^(?:"((?:[^"]|"")+)"|(\w+))\.(?:"(?:[^"]|"")+"|\w+)$/.exec(column ?? '') ?? [];
  return quoted?.replaceAll('""', '"') ?? plain ?? null;
}

function refusedOn(path: Path, relations: readonly Relation[]): RefusedClause | null {
  for (const [index, node] of path.entries()) {
    const next = path[index + 1];
    const refused = refusedNodes[node['Node Type']];
    if (refused !== undefined) return refused;
    if (next === undefined) continue;
    if (node['Node Type'].endsWith('Append') && !isPartitioned(node, relations)) return refusedClauses.union;
    if (isOuterSide(node, next)) return refusedClauses.outerSide;
  }
  return null;
}

/** Whether an Append puts partitions of the base table together, and not the parts of a union. */
function isPartitioned(append: PlanNode, relations: readonly Relation[]): boolean {
  const parts = (append.Plans ?? []).map((part) =>
    pathsTo(part, part, (node) => isScanOf(node, relations)).map((path) => path.at(-1)?.['Relation Name']),
  );
  const names = parts.flat();
  return (
    relations.length > 1 && parts.every((part) => part.length > 0) && new Set(names).size === names.length
  );
}

function isOuterSide(join: PlanNode, side: PlanNode): boolean {
  const isInner = side['Parent Relationship'] === 'Inner';
  switch (join['Join Type']) {
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
