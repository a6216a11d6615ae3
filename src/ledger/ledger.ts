import type { Tell } from '../notify/happening.ts';
import type { Session } from '../postgres/session.ts';
import { Blockers } from './look/blockers.ts';
import { History } from './look/history.ts';
import { Hosts } from './look/hosts.ts';
import { Points } from './look/points.ts';
import { Soundness } from './look/soundness.ts';
import { Forgetting } from './forgetting.ts';
import { Migrations } from './migrations.ts';
import { LedgerPart } from './part.ts';
import { Pruning } from './pruning.ts';
import { Chunks } from './run/chunks.ts';
import { ConflictList } from './run/conflicts.ts';
import { Controls } from './run/controls.ts';
import { Failures } from './run/failures.ts';
import { Images } from './run/images.ts';
import { Parts } from './run/parts.ts';
import { Quarantine } from './run/quarantine.ts';
import { Ranges } from './run/ranges.ts';
import { Restoration } from './run/restoration.ts';
import { Runs } from './run/runs.ts';
import { type LedgerNames, ledgerNames, readLedgerVersion } from './schema.ts';

/** The ledger over one session, by nouns: `ledger.runs.findLive(name, 'up')`. */
export class Ledger extends LedgerPart {
  readonly migrations = this.#part(Migrations);
  readonly runs = this.#part(Runs);
  readonly controls = this.#part(Controls);
  readonly ranges = this.#part(Ranges);
  readonly parts = this.#part(Parts);
  readonly chunks = this.#part(Chunks);
  readonly failures = this.#part(Failures);
  readonly quarantine = this.#part(Quarantine);
  readonly images = this.#part(Images);
  readonly restoration = this.#part(Restoration);
  readonly conflicts = this.#part(ConflictList);
  readonly forgetting = this.#part(Forgetting);
  readonly hosts = this.#part(Hosts);
  readonly points = this.#part(Points);
  readonly blockers = this.#part(Blockers);
  readonly soundness = this.#part(Soundness);
  readonly history = this.#part(History);
  readonly pruning = this.#part(Pruning);

  #part<Part>(part: new (session: Session, names: LedgerNames, tell: Tell) => Part): Part {
    return new part(this.session, this.names, this.tell);
  }
}

/** The ledger in `schema`, or null where there is none. Reads only. */
export async function findLedger(session: Session, schema: string): Promise<Ledger | null> {
  const version = await readLedgerVersion(session, schema);
  return version === null ? null : new Ledger(session, ledgerNames(schema, version));
}
