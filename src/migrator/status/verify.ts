import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { codeOf } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { readLedgerVersion } from '../../ledger/schema.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { loadMigration } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { reading } from '../../postgres/transaction.ts';
import { type RunEnvironment, makeEnvironment, readServer } from '../../run/context/environment.ts';
import { countLeft } from '../../run/lifecycle/left-behind.ts';
import { unknownName } from '../pending/umzug.ts';

/** One executed migration as `verify --json` prints it. */
export interface VerifiedMigration {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  /** Rows that it left behind; null: nothing was asked, since it is a schema migration or its file is gone. */
  readonly left: number | null;
}

export interface VerifyReport {
  /** What is inconsistent in the ledger, as sentences. */
  readonly contradictions: readonly string[];
  readonly migrations: readonly VerifiedMigration[];
}

/** Asks of every executed migration, or of one, whether it left rows behind, and of the ledger whether it is sound. */
export async function verifyReport(
  files: readonly MigrationFile[],
  config: Config,
  control: Control,
  only?: string,
): Promise<VerifyReport> {
  const env = makeEnvironment(config, await control.use(readServer));
  const read = <T>(work: (session: Session) => Promise<T>): Promise<T> =>
    control.use((session) => reading(session, () => work(session)));
  const exists = (await read((session) => readLedgerVersion(session, env.ledgerSchema))) !== null;
  const executed = exists ? await read((session) => env.ledger(session).migrations.list()) : [];
  const names = executed.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) throw unknownName(only, names, 'executed');
  const found = exists
    ? await read((session) => env.ledger(session).soundness.contradictions(only ?? null))
    : [];
  const runs = exists ? await read((session) => env.ledger(session).runs.live()) : [];
  const misplaced: string[] = [];
  for (const run of runs) {
    if (only === undefined || run.name === only) misplaced.push(...(await misplacedIn(read, env, run)));
  }
  const migrations: VerifiedMigration[] = [];
  for (const { name, kind } of executed) {
    if (only !== undefined && name !== only) continue;
    const file = files.find((candidate) => candidate.name === name);
    const left =
      file === undefined
        ? null
        : await loadMigration(file).then((loaded) =>
            control.use((session) => countLeft(session, env, loaded)),
          );
    migrations.push({ name, kind, left });
  }
  return { contradictions: [...found, ...misplaced], migrations };
}

/** A table that is not as it was when the run began has no key to compare by; `up` says so. */
async function misplacedIn(
  read: <T>(work: (session: Session) => Promise<T>) => Promise<T>,
  env: RunEnvironment,
  run: Run,
): Promise<readonly string[]> {
  try {
    return await read((session) => env.ledger(session).soundness.misplacedCursors(run, run.plan.base));
  } catch (error) {
    if (codeOf(error)?.startsWith('42') === true) return [];
    throw error;
  }
}
