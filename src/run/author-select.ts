import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { fail, messageOf } from '../errors.ts';
import { guardDatabase } from '../migration/guard.ts';
import { bindingText, compiled, identityOf } from '../migration/select-identity.ts';
import { type SelectShape, type WholeSelect, inspectSelect } from '../migration/select-shape.ts';
import { asSubquery } from '../migration/whole-select.ts';
import type { Session } from '../postgres/session.ts';
import type { ChunkWork } from './chunk-work.ts';
import { refuseOtherPlan } from './drift.ts';
import type { RunEnvironment } from './environment.ts';
import type { DataMigration, Step } from './step.ts';

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

/** What `select` returns for a chunk. Throws DRIFT where it is not what the run began with. */
export function selectOfChunk({ step, migration, run }: ChunkWork, db: Knex): SelectShape {
  const { base, keyAs = [] } = run.plan;
  const inspected = inspectSelect(step.select(db), migration.path);
  const shape = inspected.kind === 'whole' ? asSubquery(inspected, base, keyAs) : inspected;
  refuseOtherPlan(run, { sha256: identityOf(shape, base), base, sql: compiled(shape).sql });
  return shape;
}

function selectOnce({ session, env, migration, step }: AuthorSelect): SelectShape | WholeSelect {
  const guard = guardDatabase(session, env.knexConfig);
  try {
    return inspectSelect(callSelect(migration, step, guard.builder), migration.path);
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
    detail: 'each chunk and each host calls it anew; with another query each, rows would be missed',
    hint: "write the value into the file, or have Postgres compute it: whereRaw('created_at < current_date')",
  });
}

function kindOf(binding: unknown): string {
  if (binding instanceof Date) return ', a Date';
  return typeof binding === 'object' ? '' : `, a ${typeof binding}`;
}
