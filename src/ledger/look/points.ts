import { LedgerPart } from '../part.ts';

/** What a host tells of a run at one time, for plots. */
export interface PointMark {
  /** Of the whole run. */
  readonly rowsDone: number;
  readonly rowsPerSecond: number | null;
  /** Time of the latest chunk of the host; null: not known. */
  readonly chunkMs: number | null;
  readonly chunkSize: number;
  /** Chunks that its first process works on at a time; null: not known. */
  readonly lanes: number | null;
  /** Why no chunk begins, or null. */
  readonly held: string | null;
}

/** A point as the ledger keeps it. `process`: as in `hosts`. */
export interface KeptPoint extends PointMark {
  readonly process: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** So many points of a run are kept; at the next one every second of them is dropped. */
export const mostPoints = 2_000;

const pointsSince = 4;

/** How a run went, for people to look at: it survives restarts of `up`, and nothing is decided by it. */
export class Points extends LedgerPart {
  /**
   * Adds a point of a host, unless its last one is too young: the longer a run takes, the farther apart its points are,
   * so that its beginning keeps as many as its end. Thins them where there are too many. One statement.
   */
  async add(runId: string, process: string, mark: PointMark): Promise<void> {
    const { points } = this.names;
    await this.session.query(
      `with known as materialized (
         select count(*) >= ${mostPoints} as is_full, max(at) filter (where process = $2) as last,
                (clock_timestamp() - min(at)) / ${mostPoints / 2} as gap
         from ${points} where run_id = $1::bigint
       ), thinned as (
         delete from ${points} as p using (
           select process, at, row_number() over (order by process, at) as place
           from ${points} where run_id = $1::bigint
         ) as numbered
         where (select is_full from known) and p.run_id = $1::bigint
           and p.process = numbered.process and p.at = numbered.at and numbered.place % 2 = 0
       )
       insert into ${points} (run_id, process, at, rows, rows_per_second, chunk_ms, chunk_size, lanes, held)
       select $1::bigint, $2, clock_timestamp(), $3::bigint, $4::double precision, $5::double precision, $6::integer,
              $7::integer, $8
       from known
       where last is null or last > clock_timestamp() or clock_timestamp() >= last + gap
       on conflict do nothing`,
      [
        runId,
        process,
        mark.rowsDone,
        mark.rowsPerSecond,
        mark.chunkMs,
        mark.chunkSize,
        mark.lanes,
        mark.held === null ? null : this.session.storable(mark.held),
      ],
    );
  }

  /** The points of a run, the earliest first. */
  async list(runId: string): Promise<readonly KeptPoint[]> {
    return await this.#read('where run_id = $1::bigint order by at, process', runId);
  }

  /** The latest point of each of these runs and hosts that is not older than this. */
  async latest(
    runIds: readonly string[],
    withinMs: number,
  ): Promise<readonly (KeptPoint & { runId: string })[]> {
    const recent = `at > clock_timestamp() - ${withinMs} * interval '1 millisecond'`;
    const which = `where run_id = any ($1::bigint[]) and ${recent} order by at desc`;
    const seen = new Set<string>();
    return (await this.#read(which, runIds)).filter(({ runId, process }) => {
      const isFirst = !seen.has(`${runId} ${process}`);
      seen.add(`${runId} ${process}`);
      return isFirst;
    });
  }

  async #read(which: string, value: unknown): Promise<readonly (KeptPoint & { runId: string })[]> {
    if (this.names.version < pointsSince) return [];
    const { rows } = await this.session.query(
      `select run_id::text, process, extract(epoch from at)::double precision * 1000 as ms, rows, rows_per_second,
              chunk_ms, chunk_size, lanes, held
       from ${this.names.points} ${which}`,
      [value],
    );
    return rows.map((row) => ({
      runId: row['run_id'] as string,
      process: row['process'] as string,
      atMs: Math.round(Number(row['ms'])),
      rowsDone: Number(row['rows']),
      rowsPerSecond: row['rows_per_second'] as number | null,
      chunkMs: row['chunk_ms'] as number | null,
      chunkSize: row['chunk_size'] as number,
      lanes: row['lanes'] as number | null,
      held: row['held'] as string | null,
    }));
  }
}
