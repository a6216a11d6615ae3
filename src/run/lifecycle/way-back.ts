import { fail } from '../../errors.ts';
import { placeOfLedger } from '../../core/values/ledger-place.ts';
import { imagesName } from '../../ledger/image-columns.ts';
import type { RestoredColumn, WayBack } from '../../ledger/run/restoration.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { otherTable } from '../../migration/select/identity.ts';
import { resolveBaseTable } from '../../migration/table/base-table.ts';
import { readColumnCasts } from '../../migration/table/column-casts.ts';
import { readStoredColumns } from '../../migration/key/stored-columns.ts';
import type { Session } from '../../postgres/session.ts';
import { setLocal } from '../../postgres/transaction.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { type DataMigration, restoring } from '../context/step.ts';

/** How a rollback is to be done where there is a choice. */
export interface BackOptions {
  /** By stored values, also where the file has a `down`. */
  readonly images?: boolean;
  /** By stored values, also those of rows that were changed since. */
  readonly overwrite?: boolean;
}

/**
 * The migration as it is rolled back: as its file says, or, where that has no `down` or it is asked for, by the values that
 * its run has stored. A rollback that has started continues as it began. Refuses what cannot be rolled back. In a transaction.
 */
export async function wayBackOf(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  { images = false, overwrite = false }: BackOptions = {},
): Promise<DataMigration> {
  const { name } = migration;
  const { runs, forgetting } = env.ledger(session);
  const begun = await runs.findLive(name, 'down');
  if (begun !== null) {
    refuseOtherWay(begun, { images, overwrite });
    if (begun.plan.images === undefined) return withDown(migration);
  } else if (migration.down !== null && !images && !overwrite) return migration;
  const up = begun === null ? ((await runs.findLive(name, 'up')) ?? (await runs.findDone(name))) : null;
  const runId = begun?.plan.images?.runId ?? up?.id;
  if (runId === undefined) return withDown(migration);
  if (await forgetting.hasImages(runId)) return restoring(migration, imagesOf(env, runId));
  if (begun === null && up?.plan.undo === undefined) throw noDown(migration, images || overwrite);
  const forgottenAt = await forgetting.forgottenAt(runId);
  throw fail('NO_DOWN', {
    message: `the values that ${name} stored ${forgottenAt === null ? 'are not there any more' : `were forgotten on ${forgottenAt}`}`,
    detail: 'nothing was changed',
    hint:
      migration.down === null
        ? `export down in ${migration.path}`
        : `use the down of its file: umzug-cluster down --name ${name}`,
  });
}

function withDown(migration: DataMigration): DataMigration {
  if (migration.down === null) throw noDown(migration, false);
  return migration;
}

function noDown({ name, path, down }: DataMigration, isAsked: boolean): Error {
  return fail('NO_DOWN', {
    message: isAsked ? `${name} has stored no values: it ran without options.undo` : `${name} has no down`,
    detail: 'nothing was changed',
    hint:
      down === null
        ? `export down in ${path}`
        : `use the down of its file: umzug-cluster down --name ${name}`,
  });
}

function refuseOtherWay({ name, plan }: Run, { images, overwrite }: Required<BackOptions>): void {
  const isAsked = plan.images === undefined ? images || overwrite : overwrite && !plan.images.overwrite;
  if (!isAsked) return;
  throw fail('USAGE', {
    message: `the rollback of ${name} has started without ${plan.images === undefined ? 'stored values' : '--overwrite'}`,
    detail: 'it continues as it began; nothing was changed',
    hint: `umzug-cluster down --name ${name}`,
  });
}

/** The table of the images of a run. */
function imagesOf(env: RunEnvironment, runId: string): WayBack['images'] {
  const { schema, prefix } = placeOfLedger(env.ledgerSchema);
  return { schema, name: imagesName(prefix, runId) };
}

/**
 * What a rollback that restores stored values is about, once no chunk of its run can be committed any more. Refuses, by name,
 * tables and columns to which they cannot go back.
 */
export async function planWayBack(
  session: Session,
  env: RunEnvironment,
  up: Run,
  overwrite: boolean,
): Promise<WayBack> {
  const { name, plan } = up;
  const { base, undo } = plan;
  const images = imagesOf(env, up.id);
  const { restoration } = env.ledger(session);
  const table = await tableOf(
    session,
    name,
    base,
    base.key.map((column) => column.name),
  );
  const other = otherTable(base, table);
  if (other !== null) throw refused(name, other);
  // It reads all images once; nothing waits for that.
  await session.query(setLocal([['statement_timeout', '0']]));
  const { attnums, others, isRepeated } = await restoration.contents(images);
  await session.query(setLocal([['statement_timeout', `${env.tuning.statementTimeoutMs}ms`]]));
  const stored = (undo?.columns ?? []).filter(({ attnum }) => attnums.includes(attnum));
  const columns = await columnsOf(session, name, table, stored);
  const otherTables: WayBack['others'][number][] = [];
  for (const { relation, names } of others) {
    const [schema = '', relname = '', ...key] = relation;
    const target = await tableOf(session, name, { schema, name: relname }, key);
    const wanted = names.map((column) => ({ name: column, attnum: 0, type: null }));
    const present = await columnsOf(session, name, target, wanted);
    otherTables.push({ relation, names, table: target, columns: present });
  }
  return { runId: up.id, images, overwrite, isMerged: isRepeated, table, columns, others: otherTables };
}

async function tableOf(
  session: Session,
  migration: string,
  { schema, name, only }: Pick<BaseTable, 'schema' | 'name' | 'only'>,
  key: readonly string[],
): Promise<BaseTable> {
  try {
    const selected = { schema, name, alias: name, only: only === true };
    return await resolveBaseTable((text, values) => session.query(text, values), selected, key);
  } catch (error) {
    if (!(error instanceof Error) || !session.usable) throw error;
    throw refused(migration, error.message);
  }
}

/** Stored columns as they are now. Their numbers stay those of then, by which images name them. */
async function columnsOf(
  session: Session,
  migration: string,
  table: BaseTable,
  stored: readonly { readonly name: string; readonly attnum: number; readonly type: string | null }[],
): Promise<readonly RestoredColumn[]> {
  const present = new Map((await readStoredColumns(session, table)).map((column) => [column.name, column]));
  const casts = await readColumnCasts(session, table.oid);
  return stored.map(({ name, attnum, type }) => {
    const now = present.get(name);
    const what = `column "${name}" of "${table.name}"`;
    if (now === undefined) throw refused(migration, `${what} is gone`);
    if (type !== null && now.type !== type)
      throw refused(migration, `${what} was of type ${type}, and is of type ${now.type}`);
    return { ...now, attnum, cast: casts.get(name) ?? now.type };
  });
}

function refused(name: string, why: string): Error {
  return fail('NO_DOWN', {
    message: `${name}: its stored values cannot be restored: ${why}`,
    detail: 'nothing was changed',
    hint: 'undo what changed the table, or roll back with a down of the file',
  });
}
