import { readPlan } from '../../core/plan/query-plan.ts';
import { counted } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import { keyedRows, pickKeys } from '../../migration/chunk/queries.ts';
import { countWrittenBeside } from '../../migration/chunk/still-matches.ts';
import type { Keys } from '../../migration/key/list.ts';
import type { KeyRange } from '../../migration/key/sql.ts';
import { type Key, isKeyless } from '../../migration/key/key.ts';
import { readOfOthers } from '../../migration/select/other-rows.ts';
import type { SelectShape } from '../../migration/select/shape.ts';
import type { Session } from '../../postgres/session.ts';
import { underAuthorPath } from '../../postgres/transaction.ts';
import type { ChunkWork } from '../context/chunk-work.ts';
import type { WalkingOrder } from '../order/order.ts';
import { type Images, changedColumns, readImages, readableColumns } from './row-snapshots.ts';
import { relationsOf } from '../analyze/preflight.ts';

/** The rows that a chunk was given: their keys, or the range in which they lie. */
type Given = Keys | (KeyRange & { readonly order: WalkingOrder });

// Enough to see which columns an update changes.
const comparedRows = 100;

// Rows that are inserted are looked for in the whole table: in no more than a tenth of a run's time.
const restPerLook = 9;

/**
 * What an update does to its own base table besides changing the rows that it was given. Rows that it inserts may be
 * passed to it later; what select reads of other rows may be what it changes. Either way its result would depend
 * on where chunks end.
 */
export class OwnTable {
  readonly #session: Session;
  readonly #work: ChunkWork;
  readonly #shape: SelectShape;
  readonly #given: Given;
  #before: Images | null = null;

  constructor(session: Session, work: ChunkWork, shape: SelectShape, given: Given) {
    this.#session = session;
    this.#work = work;
    this.#shape = shape;
    this.#given = given;
  }

  /** Before the first update of a process: notes what select reads of other rows, as these hold it. */
  async look(): Promise<void> {
    const { base } = this.#work.run.plan;
    // A group is made of other rows, which are its own.
    if (this.#shape.plain || base.isGrouped === true || this.#work.effects.isCompared) return;
    const { text, values } = keyedRows(this.#shape, base);
    const answer = await this.#session.authorQuery(`explain (verbose, format json) ${text}`, values);
    const plan = readPlan(answer.rows[0]?.['QUERY PLAN']);
    const relations = await relationsOf(this.#session, base);
    const names = base.key.map(({ name }) => name);
    const read = plan === null ? [] : readOfOthers(plan, relations, names);
    if (read.length === 0) {
      this.#work.effects.isCompared = true;
      return;
    }
    const columns = (await readableColumns(this.#session, base)).filter(
      (name) => read.includes(name) || read.includes('*'),
    );
    const keys = await this.#someKeys();
    if (keys.length > 0) this.#before = await readImages(this.#session, base, columns, keys);
  }

  /** After update: throws MIGRATION_FAILED where it has changed what select reads of other rows. */
  async compare(): Promise<void> {
    if (this.#before === null) return;
    const { base } = this.#work.run.plan;
    const keys = [...this.#before.rows.keys()].map((id) => JSON.parse(id) as Key);
    const after = await readImages(this.#session, base, this.#before.columns, keys);
    const changed = changedColumns(this.#before, after).map((name) => `"${name}"`);
    if (changed.length === 0) {
      this.#work.effects.isCompared = true;
      return;
    }
    throw fail('MIGRATION_FAILED', {
      message: `${this.#work.migration.name}: update changes ${changed.join(', ')} of "${base.name}", which select also reads from other rows`,
      detail:
        'each chunk would see what earlier chunks changed, so the result would depend on where chunks end',
      hint: 'first store what select computes from other rows (a number, a rank, a first row) in a separate table, then join that: see "Numbers and ranks" in docs/writing-migrations.md',
    });
  }

  /** Throws MIGRATION_FAILED where rows that update has inserted match; it has inserted some, as the server counts. */
  async refuseInserted(): Promise<void> {
    const { migration, run, effects, env } = this.#work;
    const startedAt = performance.now();
    if (startedAt < effects.lookAgainAt) return;
    const { base } = run.plan;
    const isElsewhere = isKeyless(base) || ('order' in this.#given && !this.#given.order.keepsUpdated);
    const { text, values } = countWrittenBeside(this.#shape, base, isElsewhere ? null : this.#given);
    const found = await underAuthorPath(this.#session, env.searchPath, () =>
      this.#session.query(text, values),
    );
    const count = Number(found.rows[0]?.['count']);
    const endedAt = performance.now();
    effects.lookAgainAt = endedAt + restPerLook * (endedAt - startedAt);
    if (count === 0) return;
    throw fail('MIGRATION_FAILED', {
      message: `${migration.name}: update inserts ${counted(count, 'row that matches', 'rows that match')} select into its own table "${run.plan.base.name}"`,
      detail: 'those with a key still ahead of the run would be passed to update too, and so on',
      hint: 'select by something that the new rows do not have, such as a column that update sets in both',
    });
  }

  async #someKeys(): Promise<readonly Key[]> {
    if (!('upTo' in this.#given)) return [...this.#given].slice(0, comparedRows);
    const { after, upTo, order } = this.#given;
    const { base } = this.#work.run.plan;
    if (!order.keepsUpdated) return [];
    const { text, values } = pickKeys(this.#shape, base, { after, upTo, limit: comparedRows });
    return (await this.#session.query(text, values)).rows.map((row) => row['key'] as Key);
  }
}
