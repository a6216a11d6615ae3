import type { Control } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { alikeInCase, confusablePairs } from '../../core/values/confusable.ts';
import type { FileHashes } from '../../core/values/file-drift.ts';
import { type ErrorCode, UmzugClusterError, fail } from '../../errors.ts';
import { Ledger } from '../../ledger/ledger.ts';
import type { FailureFacts } from '../../ledger/run/failures.ts';
import type { Run } from '../../ledger/run/rows.ts';
import { ledgerNames } from '../../ledger/schema.ts';
import { type MigrationFile, listMigrations } from '../../migration/file/folder.ts';
import { hashesOfFile } from '../../migration/file/imports.ts';
import { sampleValues } from '../../migration/file/args.ts';
import { type LoadedMigration, loadMigration } from '../../migration/file/loader.ts';
import { refuseOtherFolders } from '../../migration/file/other-tools.ts';
import { checkOffline } from '../../migration/file/offline.ts';
import type { LintFinding } from '../../migration/lint/finding.ts';
import { plainSettings, withTransaction } from '../../postgres/transaction.ts';
import { isSpent, refuseOtherFile, refuseRecreated, revertingError } from '../../run/checks/drift.ts';
import { changedSince, checkOrder, confusableMessage, missingFiles } from '../pending/checks.ts';
import { type OtherRecord, recordedElsewhere, recordedError } from '../pending/other-tools.ts';
import { type LedgerState, readState } from '../pending/state.ts';
import { unknownName } from '../pending/umzug.ts';
import { risksOf } from './risks.ts';

/** Something that is wrong with the migrations, or may be. */
export interface Finding {
  readonly level: 'error' | 'warning';
  /** As `up` would fail with it. */
  readonly code: ErrorCode;
  readonly migration: string | null;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
  /** Of a risky statement: the rule, and where it is. */
  readonly rule: string | null;
  /** The path of the file. */
  readonly file: string | null;
  /** Of the file, from 1. */
  readonly line: number | null;
}

export interface ValidateReport {
  /** How many migrations there are. */
  readonly migrations: number;
  /** The database was looked at too. */
  readonly withDatabase: boolean;
  /** Schema migrations whose statements were not all known, so that rules may not have seen them. */
  readonly unread: readonly string[];
  readonly findings: readonly Finding[];
}

/**
 * Checks the folder and, where `control` is given, what the ledger says of it; runs nothing and writes nothing.
 * Executed files that are unchanged were loaded when they were executed, and are not loaded again. Risky statements are
 * looked for in files that are not executed, of those whose names come `after` this one. Throws where the folder itself
 * cannot be read, or the ledger.
 */
export async function validateReport(
  config: Config,
  control: Control | null,
  { after }: { readonly after?: string | undefined } = {},
): Promise<ValidateReport> {
  const files = await listMigrations(config.migrationsDirs);
  const names = files.map(({ name }) => name);
  if (after !== undefined && !names.includes(after)) throw unknownName(after, names, 'known');
  const known = control === null ? null : await readKnown(files, config, control);
  const executed = known?.state.executed ?? [];
  const changed = await changedSince(files, executed, known?.state.elsewhere);
  const isChanged = new Set(changed.map(({ name }) => name));
  const settled = new Set(executed.map(({ name }) => name).filter((name) => !isChanged.has(name)));
  const unsettled = files.filter(({ name }) => !settled.has(name));
  const { loaded, errors } = await loadAll(unsettled, config);
  const findings = [...aboutFolders(config.migrationsDirs), ...errors, ...aboutNames(files)];
  if (known !== null) findings.push(...(await aboutLedger(files, known, changed)));
  const begun = new Set(executed.map(({ name }) => name));
  const toRun = loaded.filter(({ name }) => !begun.has(name));
  const risks = await risksOf(toRun, { config, control, isUpgrade: begun.size > 0 });
  const isAsked = (name: string): boolean => after === undefined || name > after;
  return {
    migrations: files.length,
    withDatabase: control !== null,
    unread: risks.unread.filter(isAsked),
    findings: [...findings, ...risks.findings.filter(({ migration }) => isAsked(migration)).map(riskFinding)],
  };
}

function aboutFolders(folders: readonly string[]): readonly Finding[] {
  try {
    refuseOtherFolders(folders);
    return [];
  } catch (error) {
    return [errorFinding(null, error)];
  }
}

async function loadAll(
  files: readonly MigrationFile[],
  config: Config,
): Promise<{ readonly loaded: readonly LoadedMigration[]; readonly errors: readonly Finding[] }> {
  const loaded: LoadedMigration[] = [];
  const errors: Finding[] = [];
  for (const file of files) {
    try {
      const migration = await loadMigration(file);
      const isData = migration.kind === 'data';
      // Nobody gives arguments for it.
      const looked = isData ? migration.withArgs(sampleValues(migration.declared)) : migration;
      checkOffline(looked, config.knexConfig);
      loaded.push(migration);
    } catch (error) {
      errors.push(errorFinding(file.name, error));
    }
  }
  return { loaded, errors };
}

function aboutNames(files: readonly MigrationFile[]): readonly Finding[] {
  const names = files.map(({ name }) => name);
  return [
    ...confusablePairs(names).map((pair) => warning('ORDER', pair.first, confusableMessage(pair))),
    ...alikeInCase(names).map((alike) =>
      warning(
        'MIGRATION_FILE',
        alike[0] ?? null,
        `${alike.join(' and ')} differ only in case: on some systems they are one file`,
      ),
    ),
  ];
}

async function readKnown(files: readonly MigrationFile[], config: Config, control: Control): Promise<Known> {
  const { ledgerSchema } = config;
  return await control.use((session) =>
    withTransaction(session, plainSettings, async () => {
      const state = await readState(session, config);
      const runs = state.exists ? await readLive(new Ledger(session, ledgerNames(ledgerSchema))) : [];
      const begun = new Set([...state.executed.map(({ name }) => name), ...state.live]);
      const others = files.filter(({ name }) => !begun.has(name));
      return { state, runs, records: await recordedElsewhere(session, others, config) };
    }),
  );
}

async function aboutLedger(
  files: readonly MigrationFile[],
  { state, runs, records }: Known,
  changedFiles: Awaited<ReturnType<typeof changedSince>>,
): Promise<readonly Finding[]> {
  const findings = missingFiles(files, state).map((name) =>
    warning('DRIFT', name, `${name} is executed, but its file is missing`, 'put the file back'),
  );
  for (const { name, files: changed } of changedFiles) {
    const hint = `put it back, or accept the edit: umzug-cluster repair ${name}`;
    findings.push(warning('DRIFT', name, `${name} was changed after it was executed: ${changed}`, hint));
  }
  const present = new Set(files.map(({ name }) => name));
  for (const live of runs) {
    const { name } = live.run;
    if (!present.has(name) && state.elsewhere.has(name)) continue;
    try {
      refuseLive(live, await hashesIn(files, live.run));
    } catch (error) {
      findings.push(errorFinding(name, error));
    }
  }
  try {
    refuseRecreated(state.recreated);
    checkOrder(files, state, {});
    const recorded = recordedError(records);
    if (recorded !== null) throw recorded;
  } catch (error) {
    findings.push(errorFinding(null, error));
  }
  return findings;
}

/** What the database says of the folder. */
interface Known {
  readonly state: LedgerState;
  readonly runs: readonly LiveRun[];
  readonly records: readonly OtherRecord[];
}

interface LiveRun {
  readonly run: Run;
  readonly facts: FailureFacts;
}

/** Throws what `up` would refuse of a run that is started, or `down` of a rollback. */
function refuseLive({ run, facts }: LiveRun, present: FileHashes): void {
  if (run.state === 'reverting') throw revertingError(run.name);
  // A rollback that stands still takes a fixed file.
  const takesAnother =
    run.direction === 'down'
      ? run.state !== 'running'
      : isSpent(run, { hashes: present, declared: [], values: {} }, facts);
  if (!takesAnother) refuseOtherFile(run, present, facts);
}

async function hashesIn(files: readonly MigrationFile[], run: Run): Promise<FileHashes> {
  const file = files.find(({ name }) => name === run.name);
  if (file === undefined) throw withoutFile(run);
  return await hashesOfFile(file);
}

async function readLive(ledger: Ledger): Promise<readonly LiveRun[]> {
  const found: LiveRun[] = [];
  for (const run of await ledger.runs.live()) {
    found.push({ run, facts: await ledger.failures.facts(run.id) });
  }
  return found;
}

function withoutFile({ name, direction }: Run): Error {
  return fail('DRIFT', {
    message: `the file of ${name} is missing while its ${direction === 'up' ? 'run' : 'rollback'} is in progress`,
    hint: 'put the file back',
  });
}

function warning(code: ErrorCode, migration: string | null, message: string, hint?: string): Finding {
  return { level: 'warning', code, migration, message, detail: null, hint: hint ?? null, ...nowhere };
}

const nowhere = { rule: null, file: null, line: null };

function riskFinding({
  rule,
  migration,
  path: file,
  line,
  message,
  happens: detail,
  hint,
}: LintFinding): Finding {
  return { level: 'warning', code: 'RISK', migration, message, detail, hint, rule, file, line };
}

function errorFinding(migration: string | null, error: unknown): Finding {
  if (!(error instanceof UmzugClusterError)) throw error;
  const { code, message, detail = null, hint = null } = error;
  return { level: 'error', code, migration, message, detail, hint, ...nowhere };
}
