import { asKnexQuery } from '../select/compiled-query.ts';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { loaded } from '../../config/load-error.ts';
import { fail } from '../../errors.ts';
import { nearest } from '../../core/values/names.ts';
import { type Requirement, parseRequirement } from '../../core/values/other-tools.ts';
import type { Database, Options, SchemaStep, Select, SelectContext, Verify } from '../contract/contract.ts';
import type { ArgValues } from '../../core/config/args.ts';
import type { FileHashes } from '../../core/values/file-drift.ts';
import type { MigrationFile } from './folder.ts';
import { type DeclaredArg, contextsOf, readArgs } from './args.ts';
import { contentOf, hashesOfFile } from './imports.ts';
import { refuseOtherTool, writtenFor } from './other-tools.ts';
import { readOptions } from './options.ts';
import { plainKind } from './plain-text.ts';
import { type MarkedUpdate, isSetBased } from '../contract/set-based.ts';
import { migrationLoader } from './translator.ts';

/** A function of the author's that has its arguments. */
type Bound<Asked extends Select | Verify> = (db: Database) => ReturnType<Asked>;

interface Loaded {
  readonly name: string;
  readonly path: string;
  /** Of the file and its local imports, as they were when it was loaded. */
  readonly hashes: FileHashes;
  /** What should not be there once it is done; null: for a data migration its `select`. */
  readonly verify: Bound<Verify> | null;
  /** What other tools must have executed first. */
  readonly requires: readonly Requirement[];
}

/** One direction of a data migration. */
export interface DataStep {
  readonly select: Bound<Select>;
  readonly update: MarkedUpdate;
  readonly setBased: boolean;
}

/** A data migration and its arguments. */
interface DataFile extends Loaded, DataStep {
  readonly kind: 'data';
  readonly down: DataStep | null;
  readonly options: Options;
  readonly declared: readonly DeclaredArg[];
  /** Of its arguments. */
  readonly values: ArgValues;
  /** The same as `update` is given them. */
  readonly args: ArgValues;
  /** What `select` is given. */
  readonly context: SelectContext;
  /** The same migration with these values of its arguments. */
  readonly withArgs: (values: ArgValues) => DataFile;
}

/** A migration file, parsed and checked once; nothing downstream checks it again. */
export type LoadedMigration =
  | DataFile
  | (Loaded & {
      readonly kind: 'schema';
      readonly up: SchemaStep;
      readonly down: SchemaStep | null;
      readonly transaction: boolean;
    });

type Exports = Readonly<Record<string, unknown>>;

const known = ['select', 'update', 'down', 'options', 'up', 'verify'] as const;
// What a file may leave out: a slip in one of these names would go unnoticed.
const optional = ['down', 'options', 'verify'] as const;

// Hashes of each file as this process has it in the module cache.
const cached = new Map<string, string>();

/** Loads a migration file, TypeScript or JavaScript. Throws MIGRATION_FILE with what is wrong with it. */
export async function loadMigration(file: MigrationFile): Promise<LoadedMigration> {
  const source = contentOf(file.path).toString('utf8');
  if (plainKind(source) !== 'data') refuseOtherTool(file.path, source);
  const hashes = await hashesOfFile(file);
  const exports = members(await importFile(file, hashes));
  const label = path.basename(file.path);
  const isData = exports['select'] !== undefined || exports['update'] !== undefined;
  if (isData && exports['up'] !== undefined) {
    throw fail('MIGRATION_FILE', {
      message: `${label} exports both up and select/update`,
      hint: 'a file is a schema migration (up, down) or a data migration (select, update): make it two files',
    });
  }
  if (exports['up'] === undefined && !isData) throw noExports(file.path, exports);
  refuseSlips(label, exports);
  const { requires } = readOptions(label, isData ? 'data' : 'schema', exports['options']);
  const common: Loaded = {
    name: file.name,
    path: file.path,
    hashes,
    verify: verifyOf(label, exports, { args: {} }),
    requires: [requires ?? []].flat().flatMap((one) => parseRequirement(one) ?? []),
  };
  if (!isData) return schemaMigration(common, label, exports);
  const options = readOptions(label, 'data', exports['options']);
  const declared = readArgs(label, options.args);
  return dataMigration({ ...common, options, declared }, label, exports, {});
}

function dataMigration(
  file: Loaded & Pick<DataFile, 'options' | 'declared'>,
  label: string,
  exports: Exports,
  values: ArgValues,
): DataFile {
  const { select, update: args } = contextsOf(file.name, file.declared, values);
  const context = { args: select };
  const { down } = exports;
  return {
    ...file,
    kind: 'data',
    ...dataStep(label, exports, '', context),
    down: down === undefined ? null : dataStep(label, downOf(label, down), 'down.', context),
    verify: verifyOf(label, exports, context),
    context,
    values,
    args,
    withArgs: (others) => dataMigration(file, label, exports, others),
  };
}

/** The kind of a migration: by its text where that says it plainly, else as `loadMigration` finds and refuses it. */
export async function kindOf(file: MigrationFile): Promise<LoadedMigration['kind']> {
  const source = contentOf(file.path).toString('utf8');
  // What another tool has run changed the schema, as far as anybody can tell.
  const other = writtenFor(source) === null ? null : 'schema';
  return plainKind(source) ?? other ?? (await loadMigration(file)).kind;
}

function schemaMigration(common: Loaded, label: string, exports: Exports): LoadedMigration {
  const { up, down } = exports;
  if (typeof up !== 'function') throw notAFunction(label, 'up', up);
  if (down !== undefined && typeof down !== 'function') throw notAFunction(label, 'down', down);
  const { transaction } = readOptions(label, 'schema', exports['options']);
  return {
    kind: 'schema',
    ...common,
    up: up as SchemaStep,
    down: (down as SchemaStep | undefined) ?? null,
    transaction: transaction ?? true,
  };
}

function verifyOf(label: string, { verify }: Exports, context: SelectContext): Bound<Verify> | null {
  if (verify === undefined) return null;
  if (typeof verify !== 'function') throw notAFunction(label, 'verify', verify);
  return (db) => asKnexQuery((verify as Verify)(db, context), db) as ReturnType<Verify>;
}

function dataStep(label: string, from: Exports, prefix: string, context: SelectContext): DataStep {
  const { select, update } = from;
  if (typeof select !== 'function') throw notAFunction(label, `${prefix}select`, select, Object.keys(from));
  if (typeof update !== 'function') throw notAFunction(label, `${prefix}update`, update, Object.keys(from));
  return {
    select: (db) => asKnexQuery((select as Select)(db, context), db) as ReturnType<Select>,
    update: update as MarkedUpdate,
    setBased: isSetBased(update),
  };
}

/** The named exports, or the members of a default export that holds them. */
function members(module: unknown): Exports {
  const named = objectOf(module);
  const inner = objectOf(named['default']);
  // Its own: jiti shows those of a default export as well, bound, without the mark of `setBased`.
  const hasNamed = known.some((name) => Object.hasOwn(named, name));
  return hasNamed ? named : { ...inner, ...(Object.keys(inner).length > 0 ? {} : named) };
}

function objectOf(value: unknown): Exports {
  return typeof value === 'object' && value !== null ? (value as Exports) : {};
}

function downOf(label: string, down: unknown): Exports {
  if (typeof down === 'object' && down !== null) return down as Exports;
  throw fail('MIGRATION_FILE', {
    message: `${label}: down of a data migration must be an object { select, update }`,
    detail: `it is ${down === null ? 'null' : `of type ${typeof down}`}`,
    hint: 'leave it out if the migration cannot be reverted; a function down(db) belongs to up(db), in a separate file',
  });
}

/** A slip in an optional export would be ignored in silence: `option` for `options`. */
function refuseSlips(label: string, exports: Exports): void {
  for (const name of Object.keys(exports)) {
    if ((known as readonly string[]).includes(name)) continue;
    const meant = nearest(
      name,
      optional.filter((other) => exports[other] === undefined),
    );
    if (meant === null) continue;
    throw fail('MIGRATION_FILE', {
      message: `${label} exports "${name}": did you mean "${meant}"?`,
      hint: 'rename it, or do not export it',
    });
  }
}

function noExports(file: string, exports: Exports): Error {
  const label = path.basename(file);
  const folder = path.basename(path.dirname(file));
  const found = Object.keys(exports);
  const slips = found.flatMap((name) => {
    const meant = nearest(name, known);
    return meant === null || meant === name ? [] : [`did you mean "${meant}" by "${name}"?`];
  });
  return fail('MIGRATION_FILE', {
    message: `${label} must export select(db) and update(db, rows), or up(db)`,
    detail: found.length === 0 ? 'it exports nothing' : `found: ${found.join(', ')}`,
    hint:
      slips.join(' ') ||
      (found.length > 0
        ? `if it is not a migration, move it to a subfolder, which is ignored: ${folder}/lib/${label}`
        : 'umzug-cluster create --name NAME writes a file to start from'),
  });
}

function notAFunction(label: string, name: string, value: unknown, siblings: readonly string[] = []): Error {
  const last = name.replace(/^down\./, '');
  const similar = nearest(
    last,
    siblings.filter((sibling) => !(known as readonly string[]).includes(sibling)),
  );
  const isMissing = value === undefined;
  return fail('MIGRATION_FILE', {
    message: isMissing ? `${label} does not export ${name}` : `${label}: ${name} is not a function`,
    detail: isMissing ? undefined : `it is of type ${typeof value}`,
    hint:
      similar === null ? `export ${name} as a function` : `it exports "${similar}": did you mean "${last}"?`,
  });
}

async function importFile(file: MigrationFile, hashes: FileHashes): Promise<unknown> {
  const loader = migrationLoader(path.dirname(file.path));
  // A process that lives on after an edit must not run the old code under the new hash.
  const print = JSON.stringify(hashes);
  if (cached.get(file.path) !== print) {
    const folder = realpathSync(path.dirname(file.path));
    const parts = Object.keys(hashes.imports).map((name) => path.resolve(folder, name));
    for (const part of [realpathSync(file.path), ...parts]) Reflect.deleteProperty(loader.cache, part);
  }
  cached.set(file.path, print);
  return await loaded(loader.import(file.path), file.path, 'MIGRATION_FILE');
}

/** Refuses a migration that cannot be rolled back. */
export function refuseWithoutDown(migration: LoadedMigration): void {
  if (migration.down !== null) return;
  throw fail('NO_DOWN', {
    message: `${migration.name} has no down`,
    detail: 'nothing was changed',
    hint: `export down in ${migration.path}`,
  });
}
