import { quote } from '../../core/values/quote.ts';
import { sampleImages } from '../../ledger/run/images.ts';
import type { ImageSink, RowsToKeep } from '../../migration/chunk/images.ts';
import type { BaseTable } from '../../migration/key/key.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { GuardedDatabase } from '../../migration/handle/guard.ts';
import type { Session } from '../../postgres/session.ts';
import { type ChunkWork, sampleRunId } from '../context/chunk-work.ts';
import { type Counted, ImageKeeper } from './image-keeper.ts';

/** A call of `update` whose effects are kept. */
interface Call {
  readonly session: Session;
  readonly work: ChunkWork;
  readonly guard: GuardedDatabase;
  readonly shape: SelectShape;
}

/** Keeps images of what the update of a chunk changes, where its run has them; null: it has none. */
export function keepImages(
  { session, work, guard, shape }: Call,
  rows: () => RowsToKeep,
  before: Counted,
): ImageKeeper | null {
  const { run, env, migration } = work;
  const { undo, base } = run.plan;
  if (undo === undefined || run.direction !== 'up') return null;
  const isSample = run.id === sampleRunId;
  const sink: ImageSink = {
    table: isSample ? sampleImages : env.ledger(session).images.table,
    runId: isSample ? '0' : run.id,
  };
  const keeper = new ImageKeeper(session, {
    name: migration.name,
    base,
    names: namesOf(shape, base),
    columns: undo.columns,
    rows: rows(),
    sink,
    before,
    returnsOld: env.returnsOld,
    maxBytes: env.tuning.maxBytes,
  });
  guard.imaging(keeper);
  return keeper;
}

/** How statements of the chunk name the base table for certain, quoted. */
export function namesOf({ table }: SelectShape, base: BaseTable): readonly string[] {
  const qualified = `${quote(base.schema)}.${quote(base.name)}`;
  return table.schema === null ? [qualified, quote(base.name)] : [qualified];
}
