import { counted } from '../../core/values/numbers.ts';
import type { Finding, ValidateReport } from '../../migrator/status/validate.ts';
import type { Config } from '../../config/config.ts';
import { type Arguments, type Command, switchFlag, valueFlag } from '../frame/command.ts';
import type { Io } from '../frame/output.ts';

/** `validate`: checks files and ledger without running anything. For a pipeline, before anything is merged. */
export const validate: Command = {
  command: 'validate',
  describe: 'check all migration files, and compare them with the ledger, without running anything',
  options: {
    offline: switchFlag('check only the files, even if a database is configured'),
    strict: switchFlag('fail on warnings too'),
    after: valueFlag('look for risky statements only in migrations after this one'),
  },
  insteadOf: () => 'umzug-cluster validate',
  examples: [
    ['validate', 'the files, and the ledger if a database is configured'],
    ['validate --offline --json', 'in a pipeline that has no database'],
    ['validate --strict --after NAME', 'fail on risky statements of what is newer than NAME'],
  ],
  run: async (flags, io) => {
    const { loadConfig } = await import('../../config/config.ts');
    const config = await loadConfig({ flags, cwd: io.cwd, env: io.env, needs: 'files' });
    const isOffline = flags['offline'] === true;
    if (config.targets === null || isOffline)
      return await check(config, io, {
        isOffline: isOffline || config.database.kind !== 'connection',
        flags,
      });
    const { inEachTarget } = await import('../frame/each-target.ts');
    await inEachTarget(flags, io, { again: 'validate' }, (at) =>
      check(at.config, at.io, { isOffline, flags }),
    );
  },
};

/** Checks the files, and a database unless it is `isOffline`. */
async function check(
  config: Config,
  io: Io,
  { isOffline, flags }: { readonly isOffline: boolean; readonly flags: Arguments },
): Promise<void> {
  const { validateReport } = await import('../../migrator/status/validate.ts');
  const { openControl } = await import('../../cluster/worker/control.ts');
  const { printJson } = await import('../frame/output.ts');
  const control = isOffline ? null : openControl(config);
  try {
    const after = await fileNamed(flags['after'], flags, io);
    const report = await validateReport(config, control, { after });
    const isFailure = ({ level }: Finding): boolean => level === 'error' || flags['strict'] === true;
    const failures = report.findings.filter(isFailure);
    if (!config.output.json) await print(io, report, config.migrationsDirs.join(', '));
    else if (failures.length === 0) printJson(io, report);
    if (failures.length > 0) throw await asError(failures, report);
  } finally {
    await control?.close();
  }
}

async function print(
  io: Io,
  { migrations, withDatabase, unread, findings }: ValidateReport,
  folder: string,
): Promise<void> {
  const { printLine } = await import('../frame/output.ts');
  for (const { level, message, detail, hint } of findings) {
    printLine(io, `${level}: ${message}`);
    if (detail !== null) printLine(io, `  ${detail}`);
    if (hint !== null) printLine(io, `  hint: ${hint}`);
  }
  if (migrations === 0) return printLine(io, `no migrations found in ${folder}`);
  const looked = withDatabase ? 'files and ledger' : 'files only: no database was checked';
  const errors = findings.filter(({ level }) => level === 'error').length;
  const verdict = errors === 0 ? 'valid' : counted(errors, 'error');
  printLine(io, `${counted(migrations, 'migration')}: ${verdict} (${looked})`);
  if (unread.length > 0) {
    printLine(io, `not looked into, because their statements depend on more than db: ${unread.join(', ')}`);
  }
}

/** The first failure, as `up` would say it, with how many more there are. */
async function asError(failures: readonly Finding[], report: ValidateReport): Promise<Error> {
  const { fail } = await import('../../errors.ts');
  const [first] = failures;
  const more = failures.length - 1;
  return fail(first?.code ?? 'INTERNAL', {
    message: `${first?.message ?? ''}${more === 0 ? '' : ` (and ${more} more)`}`,
    detail: first?.detail ?? undefined,
    hint: first?.hint ?? undefined,
    report,
  });
}

/** The full name of a migration, of which a part may be typed, among the files: no database is asked. */
async function fileNamed(word: unknown, flags: Arguments, io: Io): Promise<string | undefined> {
  if (word === undefined) return undefined;
  const { fullName, namesOfFiles } = await import('../frame/full-names.ts');
  const { nameOfFile } = await import('../../migration/file/folder.ts');
  return fullName(nameOfFile(String(word)), await namesOfFiles(flags, io));
}
