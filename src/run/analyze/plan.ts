import { quote } from '../../core/values/quote.ts';
import { fail } from '../../errors.ts';
import type { RunPlan } from '../../ledger/run/rows.ts';
import { keyWarnings } from '../../migration/table/key-choice.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { type ColumnSize, sizesOf } from '../../migration/chunk/row-sizes.ts';
import { compiled, identityOf } from '../../migration/select/identity.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Result, Session } from '../../postgres/session.ts';
import { authorSearchPath, beginReadOnly, withTransaction } from '../../postgres/transaction.ts';
import { stableSelect } from './author-select.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { recordedArgs } from '../checks/args.ts';
import { refuseRowsElsewhere } from './own-rows.ts';
import { passesOf } from './passes.ts';
import { type Understood, tryChunk, understand } from './preflight.ts';
import type { DataMigration, Step } from '../context/step.ts';
import { takeSurvey } from './survey.ts';
import { weightOf } from './weight.ts';

/** What `select` means in this database, and a hash by which two hosts compare their understanding. */
export interface Plan {
  readonly base: BaseTable;
  /** What the ledger keeps of it. */
  readonly stored: RunPlan;
  readonly sha256: string;
  readonly sql: string;
  readonly warnings: readonly string[];
  /** Columns of the table that the condition of `select` asks for. */
  readonly asked: readonly string[];
}

/** A migration and what is known of its select. */
export interface PlannedMigration {
  readonly migration: DataMigration;
  readonly plan: Plan;
}

/**
 * Finds out what `select` means in this database, and has Postgres plan it and the statements of a chunk: what
 * cannot be migrated is refused here, before anything is written. Runs in a read-only transaction, so a `select`
 * that writes is refused too.
 */
export async function planStep(
  session: Session,
  env: RunEnvironment,
  migration: DataMigration,
  step: Step,
): Promise<Plan> {
  const author = { session, env, migration, step };
  return await withTransaction(
    session,
    `${env.pinned}; ${authorSearchPath(env.searchPath)}`,
    async () => {
      const understood = await understand(author, await stableSelect(author));
      refuseShared(understood.base, env.tenantSchema);
      const { shape, base, keyAs } = understood;
      await refuseRowsElsewhere(session, base);
      await tryChunk(author, understood);
      const warnings = [...understood.warnings, ...keyWarnings(base.key, migration.path)];
      const isWeighed = step === migration && migration.options.weigh !== undefined;
      const columns =
        isWeighed || (!step.setBased && isLarge(understood)) ? await columnsOf(session, shape) : [];
      const sizes = isWeighed ? sizesOf(columns) : largeOf(columns);
      const weight = await weightOf(author, understood, columns);
      const { sql } = compiled(shape);
      const survey = await takeSurvey(author, understood);
      const passes = await passesOf(session, migration, step, { planned: understood, survey });
      const stored = {
        base,
        sql,
        sizes,
        ...passes,
        ...(migration.declared.length === 0 ? {} : { args: recordedArgs(migration) }),
        ...(weight === null ? {} : { weight }),
        ...(survey === undefined ? {} : { survey }),
        ...(keyAs === undefined ? {} : { keyAs }),
      };
      const { asked } = understood;
      return { base, stored, sha256: identityOf(shape, base), sql, warnings, asked };
    },
    beginReadOnly,
  );
}

/** A table that is not the tenant's own would be migrated once for each of them. */
function refuseShared({ schema, name }: BaseTable, tenantSchema: string | null): void {
  if (tenantSchema === null || schema === tenantSchema) return;
  throw fail('SELECT_REFUSED', {
    message: `select reads ${quote(schema)}.${quote(name)}, which is not in the schema "${tenantSchema}" of this target`,
    detail: 'each target would migrate its rows again; nothing was changed',
    hint: 'name the table without a schema, and create it in each of the schemas; or run this migration without targets, from a folder of its own: up --targets none --migrations DIR',
  });
}

/** Whether a row can be large: not in a table without values out of line. */
function isLarge({ shape, base }: Understood): boolean {
  return !shape.plain || base.hasLargeValues === true;
}

async function columnsOf(session: Session, shape: SelectShape): Promise<Required<Result>['fields']> {
  const { sql, bindings } = shape.builder.clone().limit(0).toSQL().toNative();
  return (await session.authorQuery(sql, bindings)).fields ?? [];
}

/** Columns by size; none where none can be large. */
function largeOf(columns: Required<Result>['fields']): readonly ColumnSize[] {
  const sizes = sizesOf(columns);
  return sizes.every((size) => size === 'fixed') ? [] : sizes;
}
