import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { fail, messageOf } from '../errors.ts';
import { guardDatabase } from '../migration/guard.ts';
import type { DataStep, LoadedMigration } from '../migration/loader.ts';
import { bindingText, compiled } from '../migration/select-identity.ts';
import { type SelectShape, inspectSelect } from '../migration/select-shape.ts';
import type { Session } from '../postgres/session.ts';
import type { RunEnvironment } from './environment.ts';

/** What is asked for a select: whose it is, and with what it is built. */
export interface AuthorSelect {
  readonly session: Session;
  readonly env: RunEnvironment;
  readonly migration: Extract<LoadedMigration, { kind: 'data' }>;
  readonly step: DataStep;
}

type Migration = AuthorSelect['migration'];

// `new Date()` shows the difference.
const clockTickMs = 2;

/** Calls `select` twice, at two times of the clock: it must say the same in each chunk and on each host. */
export async function stableShape(author: AuthorSelect): Promise<SelectShape> {
  const shape = shapeOf(author);
  await sleep(clockTickMs);
  refuseChange(author.migration, shape, shapeOf(author));
  return shape;
}

function shapeOf({ session, env, migration, step }: AuthorSelect): SelectShape {
  const guard = guardDatabase(session, env.knexConfig);
  try {
    return inspectSelect(callSelect(migration, step, guard.builder), migration.path);
  } finally {
    // What an async select returns would run in the next turn of the loop: nothing runs any more.
    guard.close();
  }
}

/** Calls the author's `select`; what it returns is not awaited, since awaiting a query runs it. */
function callSelect({ name, path }: Migration, { select }: DataStep, db: Knex): unknown {
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

function refuseChange({ path }: Migration, one: SelectShape, other: SelectShape): void {
  const first = compiled(one);
  const second = compiled(other);
  const texts = [first, second].map(({ bindings }) => bindings.map(bindingText));
  const at = first.bindings.findIndex((_binding, index) => texts[0]?.[index] !== texts[1]?.[index]);
  if (first.sql === second.sql && at === -1 && first.bindings.length === second.bindings.length) return;
  const what =
    first.sql === second.sql && at !== -1 ? `its binding ${at + 1}${kindOf(first.bindings[at])}` : 'its SQL';
  throw fail('SELECT_REFUSED', {
    message: `${path}: select differs from call to call: ${what}`,
    detail: 'each chunk and each host calls it anew; with another query each, rows would be missed',
    hint: "write the value into the file, or have Postgres compute it: whereRaw('created_at < current_date')",
  });
}

function kindOf(binding: unknown): string {
  if (binding instanceof Date) return ', a Date';
  return typeof binding === 'object' ? '' : `, a ${typeof binding}`;
}
