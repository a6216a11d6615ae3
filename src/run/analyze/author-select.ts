import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { UmzugClusterError, fail, messageOf } from '../../errors.ts';
import { guardDatabase } from '../../migration/handle/guard.ts';
import { bindingText, compiled, identityOf } from '../../migration/select/identity.ts';
import { type SelectShape, type WholeSelect, inspectSelect } from '../../migration/select/shape.ts';
import { refuseOtherKnex } from '../../migration/select/result.ts';
import { asSubquery } from '../../migration/select/raw.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { Session } from '../../postgres/session.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import { refuseOtherPlan } from '../checks/drift.ts';
import type { RunEnvironment } from '../context/environment.ts';
import type { DataMigration, Step } from '../context/step.ts';

/** Whose `select` it is, and with what it is built. */
export interface AuthorSelect {
  readonly session: Session;
  readonly env: RunEnvironment;
  readonly migration: DataMigration;
  readonly step: Step;
}

// `new Date()` shows the difference.
const clockTickMs = 2;

/** What `select` returns at two times of the clock: it must say the same in each chunk and on each host. */
export async function stableSelect(author: AuthorSelect): Promise<SelectShape | WholeSelect> {
  const first = selectOnce(author);
  await sleep(clockTickMs);
  refuseChange(author.migration, first, selectOnce(author));
  refuseTimeOfProcess(author.migration, first);
  return first;
}

/** A query that was checked, and what was found. */
interface Checked {
  readonly query: ReturnType<typeof compiled>;
  readonly found: SelectShape | WholeSelect;
}

// With 20,000 keys in it, a query takes 30 ms of each chunk to be checked and hashed, and 1 to be compiled.
const checked = new WeakMap<Run, Checked>();

/** What `select` returns for a chunk. Throws DRIFT where it is not what the run began with. */
export function selectOfChunk(
  { step, migration, run }: Pick<ChunkWork, 'step' | 'migration' | 'run'>,
  db: Knex,
): SelectShape {
  const { base, keyAs = [] } = run.plan;
  const shapeOf = (found: SelectShape | WholeSelect): SelectShape =>
    found.kind === 'whole' ? asSubquery(found, base, keyAs) : found;
  const selected: unknown = step.select(db);
  const before = checked.get(run);
  if (
    before !== undefined &&
    isQuery(selected) &&
    isSameQuery(before.query, compiled({ builder: selected }))
  ) {
    const { found } = before;
    const isOrderKept = found.kind === 'table' && found.groups?.isOrdered === true;
    const isCleared = 'clearOrder' in selected && !isOrderKept;
    const builder = isCleared ? selected.clone().clearOrder() : selected;
    return shapeOf({ ...found, builder } as SelectShape | WholeSelect);
  }
  const found = inspectSelect(selected, migration.path);
  const shape = shapeOf(found);
  refuseOtherPlan(run, { sha256: identityOf(shape, base), base, sql: compiled(shape).sql });
  if (isQuery(selected)) checked.set(run, { query: compiled({ builder: selected }), found });
  return shape;
}

function isQuery(selected: unknown): selected is Knex.QueryBuilder | Knex.Raw {
  return typeof (selected as Partial<Knex.Raw> | null | undefined)?.toSQL === 'function';
}

function isSameQuery(one: Checked['query'], other: Checked['query']): boolean {
  const { bindings } = other;
  return (
    one.sql === other.sql &&
    one.bindings.length === bindings.length &&
    one.bindings.every(
      (value, at) => value === bindings[at] || bindingText(value) === bindingText(bindings[at]),
    )
  );
}

function selectOnce({ session, env, migration, step }: AuthorSelect): SelectShape | WholeSelect {
  const guard = guardDatabase(session, env.knexConfig);
  try {
    const selected = callSelect(migration, step, guard.builder);
    if (step.setBased) refuseOtherKnex(selected, guard.builder, migration.path);
    return inspectSelect(selected, migration.path);
  } finally {
    // An async select runs its query in the next turn of the loop: nothing runs on this handle any more.
    guard.close();
  }
}

/** Calls the author's `select`; what it returns is not awaited, since awaiting a query runs it. */
function callSelect({ name, path }: DataMigration, { select }: Step, db: Knex): unknown {
  try {
    return select(db);
  } catch (error) {
    if (error instanceof UmzugClusterError) throw error;
    throw fail('SELECT_REFUSED', {
      message: `${name}: select threw: ${messageOf(error)}`,
      hint: `see ${path}`,
      cause: error,
    });
  }
}

function refuseChange(
  { path }: DataMigration,
  one: SelectShape | WholeSelect,
  other: SelectShape | WholeSelect,
): void {
  const first = compiled(one);
  const second = compiled(other);
  const others = second.bindings.map(bindingText);
  const at = first.bindings.findIndex((binding, index) => bindingText(binding) !== others[index]);
  const isSameText = first.sql === second.sql && first.bindings.length === second.bindings.length;
  if (isSameText && at === -1) return;
  const what = isSameText ? `its binding ${at + 1}${kindOf(first.bindings[at])}` : 'its SQL';
  throw unstable(path, `select differs from call to call: ${what}`);
}

/** `const now = new Date()` at the top of the file: the same in each call, another one in each process. */
function refuseTimeOfProcess({ path }: DataMigration, selected: SelectShape | WholeSelect): void {
  const { bindings } = compiled(selected);
  const at = bindings.findIndex(isTimeOfProcess);
  if (at === -1) return;
  const what = `its binding ${at + 1}${kindOf(bindings[at])} is the time at which the file was loaded`;
  throw unstable(path, `select differs from process to process: ${what}`);
}

function isTimeOfProcess(binding: unknown): boolean {
  const isText = typeof binding === 'string' && /^\d{4}-\d\d-\d\dT/.test(binding);
  const time = isText || binding instanceof Date ? Number(new Date(binding)) : binding;
  return typeof time === 'number' && time >= performance.timeOrigin && time <= Date.now();
}

function unstable(path: string, what: string): Error {
  return fail('SELECT_REFUSED', {
    message: `${path}: ${what}`,
    detail: 'each chunk and each host calls it again; if the query differed, rows would be missed',
    hint: "write the value into the file, or let Postgres compute it: whereRaw('created_at < current_date')",
  });
}

function kindOf(binding: unknown): string {
  if (binding instanceof Date) return ', a Date';
  return typeof binding === 'object' ? '' : `, a ${typeof binding}`;
}
