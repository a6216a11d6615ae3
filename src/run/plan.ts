import { fail } from '../errors.ts';
import type { Direction, RunPlan } from '../ledger/rows.ts';
import { compiled, identity } from '../migration/select-identity.ts';
import type { BaseTable } from '../migration/key.ts';
import type { LoadedMigration } from '../migration/loader.ts';
import type { Session } from '../postgres/session.ts';
import { authorSearchPath, beginReadOnly, withTransaction } from '../postgres/transaction.ts';
import { stableShape } from './author-select.ts';
import type { RunEnvironment } from './environment.ts';
import { tryChunk, understand } from './preflight.ts';

/** A data migration as loaded from its file. */
export type DataMigration = Extract<LoadedMigration, { kind: 'data' }>;

/** The pair of functions that one direction of a data migration runs. */
export type Step = Pick<DataMigration, 'select' | 'update' | 'setBased'>;

/** What `select` means in this database, and a hash by which two hosts compare their understanding. */
export interface Plan {
  readonly base: BaseTable;
  /** What the ledger keeps of it. */
  readonly stored: RunPlan;
  readonly sha256: string;
  readonly warnings: readonly string[];
}

/** The functions of a direction; refuses `down` where the file has none. */
export function stepOf(migration: DataMigration, direction: Direction): Step {
  if (direction === 'up') return migration;
  if (migration.down === null) {
    throw fail('NO_DOWN', {
      message: `${migration.name} has no down`,
      detail: 'nothing was changed',
      hint: 'export const down = { select, update } in the migration file',
    });
  }
  return migration.down;
}

/**
 * Compiles `select`, resolves its base table and key, and has Postgres plan it, and the statements of a chunk
 * with it: what cannot be migrated is refused here, before anything is written. Runs in a read-only
 * transaction, so a `select` that writes is refused too.
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
    env.pinned,
    async () => {
      await session.query(authorSearchPath(env.searchPath));
      const understood = await understand(author, await stableShape(author));
      await tryChunk(author, understood);
      const { base, shape, warnings } = understood;
      const keyAs = shape.kind === 'whole' ? { keyAs: shape.keyAs } : {};
      return {
        base,
        stored: { base, sql: compiled(shape).sql, ...keyAs },
        sha256: identity(shape, base),
        warnings: [...shape.warnings, ...warnings],
      };
    },
    beginReadOnly,
  );
}
