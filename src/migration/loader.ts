import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail, messageOf } from '../errors.ts';
import { nearest } from '../core/names.ts';
import type { Options, SchemaStep, Select } from './contract.ts';
import { type MigrationFile, hashFile } from './folder.ts';
import { readOptions } from './options.ts';
import { type MarkedUpdate, isSetBased } from './set-based.ts';

interface Loaded {
  readonly name: string;
  readonly path: string;
  readonly sha256: string;
}

/** One direction of a data migration. */
export interface DataStep {
  readonly select: Select;
  readonly update: MarkedUpdate;
  readonly setBased: boolean;
}

/** A migration file, parsed and checked once; nothing downstream checks it again. */
export type LoadedMigration =
  | (Loaded & DataStep & { readonly kind: 'data'; readonly down: DataStep | null; readonly options: Options })
  | (Loaded & {
      readonly kind: 'schema';
      readonly up: SchemaStep;
      readonly down: SchemaStep | null;
      readonly transaction: boolean;
    });

type Exports = Readonly<Record<string, unknown>>;

const known = ['select', 'update', 'down', 'options', 'up', 'version', 'verify'] as const;

/** Loads a migration file, TypeScript or JavaScript. Throws MIGRATION_FILE with what is wrong with it. */
export async function loadMigration(file: MigrationFile): Promise<LoadedMigration> {
  const sha256 = await hashFile(file.path);
  const exports = members(await importFile(file));
  const label = path.basename(file.path);
  const loaded: Loaded = { name: file.name, path: file.path, sha256 };
  const isData = exports['select'] !== undefined || exports['update'] !== undefined;
  if (isData && exports['up'] !== undefined) {
    throw fail('MIGRATION_FILE', {
      message: `${label} exports both up and select/update`,
      hint: 'a file is a schema migration (up, down) or a data migration (select, update): make it two files',
    });
  }
  if (exports['up'] !== undefined) return schemaMigration(loaded, label, exports);
  if (!isData) throw noExports(label, exports);
  const step = dataStep(label, exports, '');
  const down = exports['down'] === undefined ? null : dataStep(label, objectOf(exports['down']), 'down.');
  return { kind: 'data', ...loaded, ...step, down, options: readOptions(label, 'data', exports['options']) };
}

function schemaMigration(loaded: Loaded, label: string, exports: Exports): LoadedMigration {
  const { up, down } = exports;
  if (typeof up !== 'function') throw notAFunction(label, 'up', up);
  if (down !== undefined && typeof down !== 'function') throw notAFunction(label, 'down', down);
  const { transaction } = readOptions(label, 'schema', exports['options']);
  return {
    kind: 'schema',
    ...loaded,
    up: up as SchemaStep,
    down: (down as SchemaStep | undefined) ?? null,
    transaction: transaction ?? true,
  };
}

function dataStep(label: string, from: Exports, prefix: string): DataStep {
  const { select, update } = from;
  if (typeof select !== 'function') throw notAFunction(label, `${prefix}select`, select, Object.keys(from));
  if (typeof update !== 'function') throw notAFunction(label, `${prefix}update`, update, Object.keys(from));
  return { select: select as Select, update: update as MarkedUpdate, setBased: isSetBased(update) };
}

/** The named exports, or the members of a default export that holds them. */
function members(module: unknown): Exports {
  const named = objectOf(module);
  const inner = objectOf(named['default']);
  const hasNamed = known.some((name) => named[name] !== undefined);
  return hasNamed ? named : { ...inner, ...(Object.keys(inner).length > 0 ? {} : named) };
}

function objectOf(value: unknown): Exports {
  return typeof value === 'object' && value !== null ? (value as Exports) : {};
}

function noExports(label: string, exports: Exports): Error {
  const found = Object.keys(exports);
  return fail('MIGRATION_FILE', {
    message: `${label} must export select(db) and update(db, rows), or up(db)`,
    detail: found.length === 0 ? 'it exports nothing' : `found: ${found.join(', ')}`,
    hint: 'umzug-cluster create --name NAME writes a file to begin with',
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

async function importFile(file: MigrationFile): Promise<unknown> {
  const { createJiti } = await import('jiti');
  const index = import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js';
  const jiti = createJiti(import.meta.url, {
    interopDefault: true,
    // Migrations get the copy of the package that runs them, installed beside them or not.
    alias: { 'umzug-cluster': fileURLToPath(new URL(index, import.meta.url)) },
  });
  try {
    return await jiti.import(file.path);
  } catch (error) {
    throw importError(path.basename(file.path), error);
  }
}

function importError(label: string, error: unknown): Error {
  const message = messageOf(error);
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND') {
    const missing = /'([^']+)'/.exec(message)?.[1] ?? message;
    const hint = 'install it, or correct the import';
    return fail('MIGRATION_FILE', {
      message: `${label}: cannot find module '${missing}'`,
      hint,
      cause: error,
    });
  }
  const place = /\((\d+):(\d+)\)|:(\d+):(\d+)/.exec(message);
  if (error instanceof SyntaxError || /ParseError|SyntaxError/.test(message)) {
    const at = place === null ? '' : `:${place[1] ?? place[3]}:${place[2] ?? place[4]}`;
    const first = (message.split('\n')[0] ?? '').replace(/^ParseError:\s*/, '');
    return fail('MIGRATION_FILE', { message: `${label}${at} syntax error: ${first}`, cause: error });
  }
  return fail('MIGRATION_FILE', { message: `${label} threw while it was loaded: ${message}`, cause: error });
}
