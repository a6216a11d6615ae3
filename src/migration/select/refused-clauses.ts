import { outermost } from '../sql/sql-words.ts';

/** What a `select` must not do, and what to do instead. */
export interface RefusedClause {
  /** Ends the sentence "select must not …". */
  readonly what: string;
  readonly hint: string;
  /** It is part of how a select groups the rows of one table, which is not refused. */
  readonly groups?: true;
}

const cut: Omit<RefusedClause, 'what'> = {
  hint: 'umzug-cluster does the chunking: leave it out, or set options.chunkSize',
};
const once: Omit<RefusedClause, 'what'> = {
  hint: "select each row of the base table once; a CTE or a subquery that is joined may group and aggregate. To get the groups of one table: db('orders').select('customer_id').count().groupBy('customer_id')",
  groups: true,
};

/** Every clause that is refused, by the name under which it is found: in the builder, the words or the plan. */
export const refusedClauses = {
  limit: { what: 'use limit: umzug-cluster does the chunking', hint: cut.hint },
  offset: { what: 'use offset: umzug-cluster does the chunking', hint: cut.hint },
  groupBy: { what: 'use group by', ...once },
  having: { what: 'use having', ...once },
  distinct: { what: 'use distinct', ...once },
  grouped: { what: 'group or aggregate (group by, distinct, count, max …)', ...once },
  union: {
    what: 'use union, intersect or except',
    hint: 'use or, whereIn or whereExists; or make it two migrations',
  },
  window: {
    what: 'use a window function: each chunk would compute it again, over rows that others have already changed',
    hint: 'compute it in a CTE or a subquery over what update does not change, and join that by the key',
  },
  lock: {
    what: 'lock (for update, for share …): umzug-cluster locks the rows of a chunk',
    hint: 'leave it out',
  },
  setReturning: {
    what: 'use a set-returning function such as unnest: it returns a row of the base table several times',
    hint: 'expand the value in update, or use jsonb_agg or array in a subquery',
  },
  writes: { what: 'write', hint: 'write in update(db, rows)' },
  outerSide: {
    what: 'have its base table on the nullable side of a join (right or full join): its rows may lack a base row',
    hint: 'start from the table whose rows are migrated and use leftJoin',
  },
  sample: {
    what: 'take a sample (tablesample): each chunk would sample all rows again',
    hint: 'select rows by what is stored in them',
  },
  chance: {
    what: 'be random (random, gen_random_uuid …): each chunk would get different rows',
    hint: 'use random values in update, or mark the rows in a column first',
  },
  recursive: {
    what: 'take its rows from a recursive CTE',
    hint: 'start from the table whose rows are migrated and join the CTE by the key',
  },
} as const satisfies Readonly<Record<string, RefusedClause>>;

/** An aggregate, by its name. */
export function refusedAggregate(name: string): RefusedClause {
  return { what: `use an aggregate (${name})`, ...once };
}

const byWords: readonly (readonly [words: RegExp, clause: RefusedClause])[] = [
  [/^(insert|update|delete|merge|truncate|call|do)\b/, refusedClauses.writes],
  [/\) over\b/, refusedClauses.window],
  [/\b(?:limit|fetch (?:first|next))\b/, refusedClauses.limit],
  [/\boffset\b/, refusedClauses.offset],
  [/\bfor (?:no key update|update|key share|share)\b/, refusedClauses.lock],
  [/\b(?:union|intersect|except)\b/, refusedClauses.union],
  [/\bgroup by\b/, refusedClauses.groupBy],
  [/\bhaving\b/, refusedClauses.having],
  [/\bselect distinct\b/, refusedClauses.distinct],
];

const aggregate =
  /\b(count|sum|avg|min|max|every|bool_and|bool_or|(?:array|string|jsonb?|jsonb?_object)_agg) ?\(\)/;

/** Whether a clause is refused all the same in a select that groups its rows. */
export function isRefused(clause: RefusedClause, isGrouped: boolean): boolean {
  return !isGrouped || clause.groups !== true;
}

/** The first clause of the statement itself, not of its subqueries, that is refused; raw fragments included. */
export function refusedInWords(sql: string, isGrouped = false): RefusedClause | null {
  const words = outermost(sql);
  const found = byWords.find(([pattern, clause]) => isRefused(clause, isGrouped) && pattern.test(words));
  if (found !== undefined) return found[1];
  if (isGrouped) return null;
  const [, name] = aggregate.exec(words) ?? [];
  return name === undefined ? null : refusedAggregate(name);
}

/** Whether the statement itself is ordered. */
export function isOrdered(sql: string): boolean {
  return /\border by\b/.test(outermost(sql));
}
