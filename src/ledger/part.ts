import { type Tell, tellNobody } from '../notify/happening.ts';
import type { Session } from '../postgres/session.ts';
import type { LedgerNames } from './schema.ts';

/** One noun of the ledger, over one session. */
export abstract class LedgerPart {
  protected readonly session: Session;
  protected readonly names: LedgerNames;
  protected readonly tell: Tell;

  /** `tell`: who is told of the history once it is committed. */
  constructor(session: Session, names: LedgerNames, tell: Tell = tellNobody) {
    this.session = session;
    this.names = names;
    this.tell = tell;
  }

  /** Until its transaction ends, nobody else numbers new ranges of this run: two would take the same number. */
  protected async lockRangeNumbers(runId: string): Promise<void> {
    await this.session.query('select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))', [
      `umzug-cluster split ${this.names.schema} ${runId}`,
    ]);
  }
}
