import {
  type ArgValue,
  type ArgValues,
  type GivenArg,
  argVariable,
  howToGive,
  isFor,
} from '../../core/config/args.ts';
import { nearest } from '../../core/values/names.ts';
import { fail } from '../../errors.ts';
import { findLedger } from '../../ledger/ledger.ts';
import type { Direction, Run } from '../../ledger/run/rows.ts';
import { type DeclaredArg, fitsArg, parseArg } from '../../migration/file/args.ts';
import type { MigrationFile } from '../../migration/file/folder.ts';
import { type LoadedMigration, loadMigration } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { reading } from '../../postgres/transaction.ts';
import { refuseOtherArgs } from '../../run/checks/args.ts';
import { isUndone } from '../../run/checks/drift.ts';
import type { DataMigration } from '../../run/context/step.ts';
import { unknownName } from './umzug.ts';

/** A migration with the values of its arguments: those that its run has recorded, those that are given, its defaults. */
export async function withGivenArgs<File extends LoadedMigration>(
  session: Session,
  ledgerSchema: string,
  migration: File,
  { direction, given }: { readonly direction: Direction; readonly given: readonly GivenArg[] },
): Promise<File> {
  if (migration.kind === 'schema' || migration.declared.length === 0) return migration;
  const { declared, name } = migration;
  const typed = typedValues(migration, given);
  const { run, mayDiffer } = await reading(session, () => runBefore(session, ledgerSchema, name, direction));
  const recorded = run?.plan.args;
  const valueOf = (arg: DeclaredArg): ArgValue | undefined => {
    const before = recorded?.values[arg.name];
    const isKept = before !== undefined && fitsArg(arg, before);
    // What was not given when a run began is not given now either.
    const otherwise = recorded === undefined || mayDiffer ? (arg.default ?? undefined) : undefined;
    return typed[arg.name] ?? (isKept ? before : otherwise);
  };
  const found = declared.flatMap((arg) => {
    const value = valueOf(arg);
    return value === undefined ? [] : [[arg.name, value] as const];
  });
  const values: ArgValues = Object.fromEntries(found);
  refuseMissing(name, declared, values, run);
  const bound = migration.withArgs(values);
  if (run !== null && !mayDiffer) refuseOtherArgs(run, bound);
  return bound as LoadedMigration as File;
}

/** Values of the arguments that somebody has given, by name. */
function typedValues({ declared, name }: DataMigration, given: readonly GivenArg[]): ArgValues {
  const own = given.filter(({ migration }) => migration === null || isPartOf(migration, name));
  const found = declared.flatMap((arg) => {
    const one = own.find((candidate) => isFor(candidate, arg.name));
    return one === undefined ? [] : [[arg.name, parseArg(name, arg, one.text)] as const];
  });
  return Object.fromEntries(found);
}

const isPartOf = (part: string, name: string): boolean => name.includes(part);

/** The run whose arguments count: the one that is resumed, or rolled back. `mayDiffer`: it has not changed anything. */
async function runBefore(
  session: Session,
  ledgerSchema: string,
  name: string,
  direction: Direction,
): Promise<{ readonly run: Run | null; readonly mayDiffer: boolean }> {
  const ledger = await findLedger(session, ledgerSchema);
  if (ledger === null) return { run: null, mayDiffer: false };
  const { runs } = ledger;
  const live = await runs.findLive(name, direction);
  // A rollback by stored values has no arguments of its own.
  const isBack = direction === 'down' && live?.plan.args === undefined;
  const up = isBack ? ((await runs.findLive(name, 'up')) ?? (await runs.findDone(name))) : null;
  const run = up ?? live;
  return { run, mayDiffer: run !== null && isUndone(run, await ledger.failures.facts(run.id)) };
}

function refuseMissing(
  migration: string,
  declared: readonly DeclaredArg[],
  values: ArgValues,
  run: Run | null,
): void {
  const wasGiven = ({ name }: DeclaredArg): boolean => run?.plan.args?.secrets[name] !== undefined;
  const missing = declared.filter(
    (arg) => !Object.hasOwn(values, arg.name) && (arg.isRequired || wasGiven(arg)),
  );
  if (missing.length === 0) return;
  const described = missing.flatMap(({ name, description }) =>
    description === null ? [] : [`${name}: ${description}`],
  );
  const again = missing.every(wasGiven) ? ' again: a secret is not recorded, only its hash is' : '';
  throw fail('USAGE', {
    message: `${migration} needs ${missing.map(({ name }) => `"${name}"`).join(' and ')}${again}`,
    detail: [...described, 'nothing was run'].join('\n'),
    hint: missing.map(howToGive).join('; '),
  });
}

/** Refuses what is given for an argument that no migration declares: none of those to be run, and none of the others. */
export async function refuseUnknownArgs(
  given: readonly GivenArg[],
  toRun: readonly MigrationFile[],
  files: readonly MigrationFile[],
): Promise<void> {
  if (given.length === 0) return;
  const loaded = await loadedOf(toRun);
  for (const one of given) {
    if (one.migration !== null) refuseUnknownMigration(one.migration, files);
    if (declaredFor(one, loaded).isDeclared) continue;
    // Perhaps of one that is executed, or that comes later.
    const { isDeclared, names } = declaredFor(one, await loadedOf(files));
    if (!isDeclared) throw unknownArg(one, names);
  }
}

function refuseUnknownMigration(part: string, files: readonly MigrationFile[]): void {
  const names = files.map(({ name }) => name);
  const found = names.filter((name) => isPartOf(part, name));
  if (found.length === 0) throw unknownName(part, names, 'known');
  if (found.length === 1 || names.includes(part)) return;
  throw fail('USAGE', {
    message: `--arg ${part}:…: "${part}" is a part of ${found.length} names`,
    detail: found.join('\n'),
    hint: 'type more of the one that you mean',
  });
}

function declaredFor(
  given: GivenArg,
  migrations: readonly LoadedMigration[],
): { readonly isDeclared: boolean; readonly names: readonly string[] } {
  const { migration } = given;
  const names = migrations.flatMap((one) =>
    one.kind === 'data' && (migration === null || isPartOf(migration, one.name))
      ? one.declared.map(({ name }) => name)
      : [],
  );
  return { isDeclared: names.some((name) => isFor(given, name)), names: [...new Set(names)] };
}

/** Those that can be loaded: what is wrong with another one is no matter of this command's. */
async function loadedOf(files: readonly MigrationFile[]): Promise<readonly LoadedMigration[]> {
  const loaded = await Promise.all(files.map((file) => loadMigration(file).catch(() => null)));
  return loaded.filter((one) => one !== null);
}

function unknownArg({ migration, name, isVariable }: GivenArg, declared: readonly string[]): Error {
  const known = isVariable ? declared.map(argVariable) : declared;
  const near = nearest(name, known);
  const whose = migration === null ? 'no migration declares' : `${migration} does not declare`;
  return fail('USAGE', {
    message: `${whose} the argument ${isVariable ? `of ${name}` : `"${name}"`}`,
    detail:
      known.length === 0
        ? 'none is declared; nothing was run'
        : `declared: ${known.join(', ')}; nothing was run`,
    hint: near === null ? `leave it out, or declare it in options.args` : `did you mean "${near}"?`,
  });
}
