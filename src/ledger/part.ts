import type { Session } from '../postgres/session.ts';
import type { LedgerNames } from './schema.ts';

/** One noun of the ledger, over one session. */
export abstract class LedgerPart {
  protected readonly session: Session;
  protected readonly names: LedgerNames;

  constructor(session: Session, names: LedgerNames) {
    this.session = session;
    this.names = names;
  }
}
