import { fieldsOf } from '../values/fields.ts';

/** A plan of Postgres, as EXPLAIN (VERBOSE, FORMAT JSON) tells it: what is looked at, and how it is shown. */
export interface PlanNode {
  readonly type: string;
  /** The table that it reads or writes, without its schema. */
  readonly table: string | null;
  readonly schema: string | null;
  readonly index: string | null;
  /** It reads rows that it then throws away. */
  readonly filters: boolean;
  /** Its conditions on rows as SQL, without the literals: they are values. */
  readonly conditions: readonly string[];
  readonly alias: string | null;
  /** How it joins: `Inner`, `Left`, `Right`, `Full`, `Semi` … */
  readonly join: string | null;
  /** What it is to the node above: `Outer`, `Inner`, `SubPlan`, `InitPlan` … */
  readonly side: string | null;
  /** The CTE that it reads. */
  readonly cte: string | null;
  /** Its name where it is a subquery of an expression, or a CTE: `CTE x`. */
  readonly subplan: string | null;
  /** What it returns, column by column. */
  readonly output: readonly string[];
  /** Rows that the planner expects it to give, each time it runs. */
  readonly rows: number;
  readonly children: readonly PlanNode[];
}

const conditionFields = ['Filter', 'Join Filter', 'One-Time Filter', 'Index Cond', 'Hash Cond', 'Merge Cond'];

/** Of SQL that Postgres writes itself: there a quote in a literal is always doubled, and `$` belongs to a name. */
const withoutConstants = (sql: string): string => sql.replaceAll(/'(?:[^']|'')*'/g, "''");

/** Reads the answer to EXPLAIN: the JSON document, or its text. Null where it is none. */
export function readPlan(answer: unknown): PlanNode | null {
  const document: unknown = typeof answer === 'string' ? JSON.parse(answer) : answer;
  const [first] = Array.isArray(document) ? (document as unknown[]) : [];
  const plan = fieldsOf(first)['Plan'];
  return plan === undefined ? null : toNode(fieldsOf(plan));
}

function toNode(fields: Readonly<Record<string, unknown>>): PlanNode {
  const text = (name: string): string | null => (typeof fields[name] === 'string' ? fields[name] : null);
  const list = (name: string): readonly unknown[] =>
    Array.isArray(fields[name]) ? (fields[name] as unknown[]) : [];
  const operation = text('Node Type') === 'ModifyTable' ? text('Operation') : null;
  return {
    type: operation ?? text('Node Type') ?? '',
    table: text('Relation Name'),
    schema: text('Schema'),
    index: text('Index Name'),
    filters: text('Filter') !== null,
    conditions: conditionFields.flatMap((name) => text(name) ?? []).map(withoutConstants),
    alias: text('Alias'),
    join: text('Join Type'),
    side: text('Parent Relationship'),
    cte: text('CTE Name'),
    subplan: text('Subplan Name'),
    output: list('Output').map(String),
    rows: Number(fields['Plan Rows'] ?? 0),
    children: list('Plans').map((child) => toNode(fieldsOf(child))),
  };
}

/** What a plan returns, column by column; an Append does not say it, but its parts do. */
export function outputOf(node: PlanNode): readonly string[] {
  const [first] = node.children;
  return node.output.length > 0 || first === undefined ? node.output : outputOf(first);
}

/** The pairs that a condition makes sure are equal, without casts to text: `p.id = a.id`. */
export function equalities(condition: string): readonly string[] {
  if (/ OR |\bNOT\b|\bCASE\b/.test(condition)) return [];
  const plain = condition.replaceAll(/\(([^()]+)\)::text\b/g, '$1');
  return [...plain.matchAll(/\(([^()]+ = [^()]+)\)/g)].map(([, pair = '']) => pair);
}

const qualified = /("(?:[^"]|"")+"|[\w$]+)\.("(?:[^"]|"")+"|[\w$]+)/g;

/** The columns of these tables that the conditions of a plan ask for. */
export function columnsAsked(
  root: PlanNode,
  tables: readonly { readonly schema: string; readonly name: string }[],
): readonly string[] {
  const nodes = nodesOf(root);
  const isOne = ({ schema, table }: PlanNode): boolean =>
    tables.some((one) => one.schema === schema && one.name === table);
  const aliases = new Set(nodes.filter(isOne).map(({ alias }) => alias));
  const bare = (name: string): string =>
    name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
  const asked = nodes
    .flatMap(({ conditions }) => conditions)
    .flatMap((condition) => [...condition.matchAll(qualified)])
    .filter(([, alias = '']) => aliases.has(bare(alias)))
    .map(([, , column = '']) => bare(column));
  return [...new Set(asked)];
}

/** A node with all below it, from above. */
export function nodesOf(node: PlanNode): readonly PlanNode[] {
  return [node, ...node.children.flatMap(nodesOf)];
}

// A plan over many partitions is as long as there are partitions.
const mostChildren = 4;

/** One line a node, indented: `Index Scan using t_pkey on t`. Conditions hold values and are left out. */
export function planLines(node: PlanNode, depth = 0): readonly string[] {
  const using = node.index === null ? '' : ` using ${node.index}`;
  const on = node.table === null ? '' : ` on ${node.table}`;
  // A value that is computed once, with no table behind it, says nothing of how rows are found.
  const children = node.children.filter((child) => child.type !== 'Result' || child.children.length > 0);
  const more = children.length - mostChildren;
  return [
    `${'  '.repeat(depth)}${node.type}${using}${on}`,
    ...children.slice(0, mostChildren).flatMap((child) => planLines(child, depth + 1)),
    ...(more > 0 ? [`${'  '.repeat(depth + 1)}… and ${more} more`] : []),
  ];
}

/** Tables that a plan reads from beginning to end. */
export function wholeScans(root: PlanNode): readonly { readonly schema: string; readonly table: string }[] {
  return nodesOf(root).flatMap(({ type, schema, table }) =>
    type.endsWith('Seq Scan') && table !== null ? [{ schema: schema ?? '', table }] : [],
  );
}

/** Whether a plan puts rows in order that no index gives in order. */
export function sorts(root: PlanNode): boolean {
  return nodesOf(root).some(({ type }) => type === 'Sort' || type === 'Incremental Sort');
}
