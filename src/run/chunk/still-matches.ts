import { counted } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import {
  type KeptKeys,
  countMatching,
  countWritten,
  keepMatching,
  matchingKeys,
} from '../../migration/chunk/still-matches.ts';
import { type BaseTable, type Key, type Position, isKeyless } from '../../migration/key/key.ts';
import type { Keys } from '../../migration/key/list.ts';
import type { KeyRange, Statement } from '../../migration/key/sql.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import type { RangeLeft } from '../order/order.ts';
import { orderOf } from '../order/orders.ts';

/**
 * A select drains where a row that was updated does not match any more. A run that goes over its table more than
 * once depends on it, or it would update rows twice: it looks after every update, in the chunk's own transaction.
 */

/** Refuses an update after which some of the rows that it was given still match. */
export async function refuseStillMatching(
  session: Session,
  name: string,
  { shape, base }: { readonly shape: SelectShape; readonly base: BaseTable },
  given: { readonly locked: Keys } | { readonly written: KeyRange | Keys | KeptKeys },
): Promise<void> {
  const { text, values }: Statement =
    'locked' in given ? countMatching(shape, base, given.locked) : countWritten(shape, base, given.written);
  const left = Number((await session.query(text, values)).rows[0]?.['count']);
  if (left === 0) return;
  const [why, instead] = isKeyless(base)
    ? [`tables without a key, such as "${base.name}",`, 'add a primary key first']
    : ['options.sweep and options.order', 'leave these options out'];
  const error = fail('MIGRATION_FAILED', {
    message: `${name}: select finds rows again after update: ${counted(left, 'row still matches', 'rows still match')} after update`,
    detail: `${why} need migrated rows to stop matching select; otherwise a row would be updated again`,
    hint: `select by what update changes, such as whereNull of the new column, or ${instead}`,
  });
  refusals.add(error);
  throw error;
}

const refusals = new WeakSet();

/** Whether a chunk was refused because rows still matched after its update. */
export function isStillMatching(error: unknown): boolean {
  return typeof error === 'object' && error !== null && refusals.has(error);
}

/** What is done about draining before and after a set-based update. */
export interface SetDrainCheck {
  readonly before: (upTo: Position) => Promise<void>;
  readonly after: (upTo: Position) => Promise<void>;
}

/**
 * The check for an update whose rows are not read. In a range of keys what it has written is there afterwards; in
 * one of blocks an updated row may be in any other block, so the keys of the rows are noted before.
 */
export function setDrainCheck(
  session: Session,
  name: string,
  select: { readonly shape: SelectShape; readonly base: BaseTable },
  { space, after }: Pick<RangeLeft, 'space' | 'after'>,
): SetDrainCheck {
  const order = orderOf({ space });
  if (order.keepsUpdated) {
    return {
      before: () => Promise.resolve(),
      after: (upTo) => refuseStillMatching(session, name, select, { written: { after, upTo } }),
    };
  }
  let written: readonly Key[] | KeptKeys | null = null;
  return {
    before: async (upTo) => {
      written = await noteMatching(
        session,
        { ...select, placed: order.ordered(select.base) },
        { after, upTo },
      );
    },
    after: async () => {
      // Not all of them: nobody has locked them before, so an application may have moved some out of its way.
      if (written !== null) await refuseStillMatching(session, name, select, { written });
    },
  };
}

/** Notes the keys of a range of blocks that match, on the server where it can; null: none does. */
async function noteMatching(
  session: Session,
  {
    shape,
    base,
    placed,
  }: { readonly shape: SelectShape; readonly base: BaseTable; readonly placed: BaseTable },
  range: KeyRange,
): Promise<readonly Key[] | KeptKeys | null> {
  const kept = keepMatching(shape, base, placed, range);
  const { text, values } = kept?.keep ?? matchingKeys(shape, base, placed, range);
  const { rows } = await session.query(text, values);
  if (kept !== null) return Number(rows[0]?.['count']) > 0 ? kept : null;
  return rows.length > 0 ? rows.map((row) => row['key'] as Key) : null;
}
