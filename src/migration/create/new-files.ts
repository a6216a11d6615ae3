import path from 'node:path';
import { fail } from '../../errors.ts';
import { place } from '../key/key.ts';
import type { DescribedTable } from '../table/described-table.ts';
import type { Language } from './language.ts';
import { type Recipe, testText } from './recipe.ts';
import { type RecipeName, recipes } from './recipes.ts';
import { type TemplateKind, renderMigration } from './template.ts';

/** A file that `create` is going to write. */
export interface NewFile {
  /** Of a migration its name, without extension; of a test that of its file. */
  readonly name: string;
  readonly text: string;
  readonly isTest: boolean;
}

interface Style {
  readonly language: Language;
  readonly extension: string;
  readonly table: DescribedTable | null;
}

/** A migration with places to fill in. */
export function migrationFile(request: Style & { readonly kind: string; readonly name: string }): NewFile {
  const { kind } = request;
  const known: TemplateKind = kind === 'set' || kind === 'schema' ? kind : 'data';
  return { name: request.name, text: renderMigration({ ...request, kind: known }), isTest: false };
}

/** The migrations of a recipe, in their order, and its test. Throws USAGE where the recipe does not fit the table. */
export function recipeFiles(
  request: Style & {
    readonly kind: RecipeName;
    readonly wanted: string;
    readonly existing: readonly string[];
    /** Of the migrations, from the project's. */
    readonly folder: string;
    /** The whole name of a new migration that comes after these. */
    readonly named: (wanted: string, existing: readonly string[]) => string;
  },
): NewFile[] {
  const { kind, wanted, language, table } = request;
  const recipe: Recipe = recipes[kind];
  const about = {
    language,
    ...(table === null ? { table: recipe.table, key: 'id' } : plainNames(kind, recipe, table)),
  };
  const steps = recipe.steps(about);
  const existing = [...request.existing];
  const files: NewFile[] = steps.map(({ suffix, text }, index) => {
    const name = request.named(`${wanted}-${index + 1}-${suffix}`, existing);
    existing.push(name);
    return { name, text: `// ${name}\n${text}`, isTest: false };
  });
  // What comes after the rows were migrated locks tables, or builds indexes: no part of the test.
  const tried = files
    .slice(0, steps.findLastIndex(({ isData }) => isData === true) + 1)
    .map(({ name }) => path.posix.join(request.folder, `${name}${request.extension}`));
  const test = {
    name: `${wanted}.test${request.extension}`,
    text: testText({ language, files: tried }, recipe.test(about)),
    isTest: true,
  };
  return [...files, test];
}

const plainName = /^[a-z_][a-z0-9_]*$/;

function plainNames(
  kind: string,
  { takesKeys, isForKeyless }: Recipe,
  { written, key: keys }: DescribedTable,
): { table: string; key: string; keys: readonly string[] } {
  if (keys[0] === place.name && isForKeyless !== true) {
    throw fail('USAGE', {
      message: `the recipe ${kind} is for a table with a key; ${written} has none`,
      hint: `add a primary key first, or start from --kind set`,
    });
  }
  const key = keys.find((name) => name !== 'created_at') ?? keys[0];
  const isPlain = [written, ...keys].every((name) => plainName.test(name));
  if (isPlain && key !== undefined && (keys.length === 1 || takesKeys === true)) {
    return { table: written, key, keys };
  }
  const ofOne = takesKeys === true ? 'plain names in its key' : 'a key of one column';
  throw fail('USAGE', {
    message: `the recipe ${kind} is for a table with a plain name and ${ofOne}; ${written} has (${keys.join(', ')})`,
    hint: `leave out --table and change the names in the files, or start from --kind set`,
  });
}
