import type { RunPlan } from '../../ledger/run/rows.ts';
import { keyWarnings } from '../../migration/table/key-choice.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import { type ColumnSize, sizesOf } from '../../migration/chunk/row-sizes.ts';
import { compiled, identityOf } from '../../migration/select/identity.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import { authorSearchPath, beginReadOnly, withTransaction } from '../../postgres/transaction.ts';
import { stableSelect } from './author-select.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { passesOf, whyPlaceless } from './passes.ts';
import { tryChunk, understand } from './preflight.ts';
import type { DataMigration, Step } from '../context/step.ts';
import { takeSurvey } from './survey.ts';

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
  /** Its rows could be visited in the order in which they are stored. */
  readonly hasPlaces: boolean;
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
      await tryChunk(author, understood);
      const { shape, base, keyAs } = understood;
      const warnings = [...understood.warnings, ...keyWarnings(base.key, migration.path)];
      const sizes = step.setBased ? [] : await largeColumns(session, shape, base);
      const { sql } = compiled(shape);
      const survey = await takeSurvey(author, understood);
      const passes = passesOf(migration, step, understood, survey);
      const stored = {
        base,
        sql,
        sizes,
        ...passes,
        ...(survey === undefined ? {} : { survey }),
        ...(keyAs === undefined ? {} : { keyAs }),
      };
      const hasPlaces = whyPlaceless(understood) === null;
      const { asked } = understood;
      return { base, stored, sha256: identityOf(shape, base), sql, warnings, asked, hasPlaces };
    },
    beginReadOnly,
  );
}

/** The selected columns by size; none where no row can be large, as in a table without values out of line. */
async function largeColumns(
  session: Session,
  shape: SelectShape,
  base: BaseTable,
): Promise<readonly ColumnSize[]> {
  if (shape.plain && base.hasLargeValues !== true) return [];
  const { sql, bindings } = shape.builder.clone().limit(0).toSQL().toNative();
  const { fields = [] } = await session.authorQuery(sql, bindings);
  const sizes = sizesOf(fields);
  return sizes.every((size) => size === 'fixed') ? [] : sizes;
}
