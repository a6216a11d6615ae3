import { type Control, openControl } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { codeOf } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { readLedgerVersion } from '../../ledger/schema.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { type LoadedMigration, loadMigration } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { reading } from '../../postgres/transaction.ts';
import { type RunEnvironment, makeEnvironment, readServer } from '../../run/context/environment.ts';
import { countLeft } from '../../run/lifecycle/left-behind.ts';
import { unknownName } from '../pending/umzug.ts';

/** A migration that is executed, or that cannot be since it has quarantined rows, as `verify --json` prints it. */
export interface VerifiedMigration {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  /**
   * Rows that it left behind; null: nothing was asked, since it is a schema migration, is not executed, or its file
   * is gone.
   */
  readonly left: number | null;
  /** Rows that could not be migrated, or rolled back. */
  readonly quarantined: number;
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
  only?: string,
): Promise<VerifyReport> {
  // It may have to read a whole table before it answers.
  const control = openControl(config, { answerTimeoutMs: 0 });
  try {
    return await report(files, config, control, only);
  } finally {
    await control.close();
  }
}

async function report(
  files: readonly MigrationFile[],
  config: Config,
  control: Control,
  only?: string,
): Promise<VerifyReport> {
  const env = makeEnvironment(config, await control.use(readServer));
  const read: Read = (work) => control.use((session) => reading(session, () => work(session)));
  const exists = (await read((session) => readLedgerVersion(session, env.ledgerSchema))) !== null;
  const executed = exists ? await read((session) => env.ledger(session).migrations.list()) : [];
  const runs = exists ? await read((session) => env.ledger(session).runs.live()) : [];
  const quarantined = await quarantinedIn(read, env, runs);
  const names = [...new Set([...executed.map(({ name }) => name), ...quarantined.keys()])];
  if (only !== undefined && !names.includes(only)) throw unknownName(only, names, 'executed');
  const found = exists
    ? await read((session) => env.ledger(session).soundness.contradictions(only ?? null))
    : [];
  const misplaced: string[] = [];
  for (const run of runs) {
    if (only === undefined || run.name === only) misplaced.push(...(await misplacedIn(read, env, run)));
  }
  const migrations: VerifiedMigration[] = [];
  for (const name of names) {
    if (only !== undefined && name !== only) continue;
    const kind = executed.find((one) => one.name === name)?.kind;
    const bad = quarantined.get(name) ?? 0;
    if (kind === undefined) {
      migrations.push({ name, kind: 'data', left: null, quarantined: bad });
      continue;
    }
    const file = files.find((candidate) => candidate.name === name);
    const left =
      file === undefined
        ? null
        : await loadMigration(file).then((loaded) =>
            control.use(async (session) => countLeft(session, env, await asRun(session, env, loaded))),
          );
    migrations.push({ name, kind, left, quarantined: bad });
  }
  return { contradictions: [...found, ...misplaced], migrations };
}

/** A migration with the arguments of its run: its select knows no secret. */
async function asRun(
  session: Session,
  env: RunEnvironment,
  migration: LoadedMigration,
): Promise<LoadedMigration> {
  if (migration.kind === 'schema' || migration.declared.length === 0) return migration;
  const run = await reading(session, () => env.ledger(session).runs.findDone(migration.name));
  return migration.withArgs(run?.plan.args?.values ?? {});
}

type Read = <T>(work: (session: Session) => Promise<T>) => Promise<T>;

/** Migrations of which rows are quarantined, and how many. */
async function quarantinedIn(
  read: Read,
  env: RunEnvironment,
  runs: readonly Run[],
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const { id, name } of runs) {
    const { count } = await read((session) => env.ledger(session).quarantine.list(id, 1));
    if (count > 0) found.set(name, (found.get(name) ?? 0) + count);
  }
  return found;
}

/** A table that is not as it was when the run began has no key to compare by; `up` says so. */
async function misplacedIn(read: Read, env: RunEnvironment, run: Run): Promise<readonly string[]> {
  try {
    return await read((session) => env.ledger(session).soundness.misplacedCursors(run, run.plan.base));
  } catch (error) {
    if (codeOf(error)?.startsWith('42') === true) return [];
    throw error;
  }
}
