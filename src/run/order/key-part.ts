import { counted } from '../../core/values/numbers.ts';
import { quote } from '../../core/values/quote.ts';
import { codeOf, fail, messageOf } from '../../errors.ts';
import type { KeyPart } from '../../ledger/run/controls.ts';
import type { PartBounds } from '../../ledger/run/parts.ts';
import type { Run, RunPlan } from '../../ledger/run/rows.ts';
import { type BaseTable, type Key, isKeyless } from '../../migration/key/key.ts';
import { countUpTo, lastKeyBy } from '../../migration/key/queries.ts';
import { isAtMost } from '../../migration/key/sql.ts';
import { stepOf } from '../../core/size/survey.ts';
import type { Session } from '../../postgres/session.ts';
import type { RunEnvironment } from '../context/environment.ts';
import { oneKey } from './order.ts';

/**
 * A part of the keys, to which `up --limit` keeps. Open ranges are cut where it begins and ends, and those outside of it
 * are parked in the ledger until the next `up`: so it holds for whoever works on the run, and after a crash.
 */

/**
 * Cuts and parks open ranges of a run as its controls say, in the transaction that lays them out or opens them again.
 * Its ends are keys of rows that are there. A row that is inserted later, just before the first one, belongs to the part;
 * one just behind the last row does not.
 */
export async function keepToPart(
  session: Session,
  env: RunEnvironment,
  { id, plan }: Pick<Run, 'id' | 'plan'>,
): Promise<void> {
  const { controls, parts, ranges } = env.ledger(session);
  const part = await controls.partOf(id);
  if (part === null) return;
  // Before a range is locked, as a quarantine does.
  await ranges.lockNumbers(id);
  const bounds = await boundsOf(session, plan.base, part);
  for (const at of [bounds?.after ?? null, bounds?.upTo ?? null]) {
    if (at === null) continue;
    const around = await parts.lockAround(id, plan.base, at);
    if (around === null) continue;
    const kept = await rowsBefore(session, plan, at, around);
    await ranges.split(id, around, { at, kept, taken: around.estimated - kept }, null);
  }
  await parts.park(id, plan.base, bounds);
}

/** By the estimate, how many rows of a range come before a key inside of it. */
async function rowsBefore(
  session: Session,
  { base, survey }: RunPlan,
  key: Key,
  { at, estimated }: { readonly at: number; readonly estimated: number },
): Promise<number> {
  if (survey === undefined) return estimated / 2;
  const { text, values } = countUpTo(base, survey.keys, key, 1);
  const { rows } = await session.query(`select ${text} as count`, values);
  const position = Number(rows[0]?.['count']) * stepOf(survey);
  return Math.min(Math.max(position - at, 0), estimated);
}

/** Where a part lies; null where no row is in it. Refuses what is no key of the table. */
export async function boundsOf(
  session: Session,
  base: BaseTable,
  { from, to }: KeyPart,
): Promise<PartBounds | null> {
  const after = from === null ? null : await lastKey(session, base, { flag: '--from-key', values: from });
  const upTo = to === null ? null : await lastKey(session, base, { flag: '--to-key', values: to });
  if (after !== null && upTo !== null && (await isBehind(session, base, after, upTo))) {
    throw fail('USAGE', {
      message: `--from-key lies behind --to-key in the order of the key of "${base.name}"`,
      detail: 'there is no row between them; nothing was changed',
      hint: 'give the smaller key as --from-key',
    });
  }
  return to !== null && upTo === null ? null : { after, upTo };
}

async function isBehind(session: Session, base: BaseTable, one: Key, other: Key): Promise<boolean> {
  const { rows } = await session.query(`select not (${isAtMost('$1::text[]', '$2::text[]', base)}) as is`, [
    one,
    other,
  ]);
  return rows[0]?.['is'] === true;
}

interface GivenKey {
  readonly flag: '--from-key' | '--to-key';
  readonly values: readonly string[];
}

async function lastKey(session: Session, base: BaseTable, given: GivenKey): Promise<Key | null> {
  const { flag, values } = given;
  if (values.length > base.key.length) {
    throw noKey(base, given, `it has ${counted(values.length, 'value')}`);
  }
  try {
    return await oneKey(session, lastKeyBy(base, values, flag === '--from-key' ? 'before' : 'upTo'));
  } catch (error) {
    // What cannot be cast.
    if (codeOf(error)?.startsWith('22') === true) throw noKey(base, given, messageOf(error));
    throw error;
  }
}

function noKey({ name, key }: BaseTable, { flag, values }: GivenKey, why: string): Error {
  const columns = key.map((column) => `${quote(column.name)} ${column.type.replace('"pg_catalog".', '')}`);
  const given = values.map((value) => JSON.stringify(value)).join(', ');
  return fail('USAGE', {
    message: `${flag} ${given} is no key of "${name}": ${why}`,
    detail: `its key is (${columns.join(', ')}); nothing was changed`,
    hint: `give ${flag} once for each column, in their order; the last ones may be left out`,
  });
}

/** The refusal to join a run of which only some rows are to be processed for now. */
export function limitedError(name: string): Error {
  return fail('STOPPED', {
    message: `${name} was started with up --limit, and waits for the next up`,
    detail: 'nobody joins it unasked',
    hint: 'continue: umzug-cluster up',
  });
}

/** How a run goes over its table that is to keep to a part of its keys: by key. Refuses what cannot. */
export function planByKey(name: string, plan: RunPlan): RunPlan {
  const { auto, rowsPerBlock, ...byKey } = plan;
  if (rowsPerBlock === undefined || auto?.state === 'asked') return byKey;
  throw inBlocksError(name, plan);
}

/** The refusal of a part of the keys for a run that goes over blocks. */
export function inBlocksError(name: string, { base }: RunPlan): Error {
  return fail('USAGE', {
    message: isKeyless(base)
      ? `${name} cannot be limited to a part of the keys: "${base.name}" has no key`
      : `${name} cannot be limited to a part of the keys: it goes over "${base.name}" in the order in which its rows are stored`,
    detail: 'rows of any key lie in each of its blocks; nothing was changed',
    hint: 'leave out --from-key and --to-key: --limit alone takes the first rows that are stored',
  });
}
