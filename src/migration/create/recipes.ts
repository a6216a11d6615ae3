import { changeType, copyColumn, encrypt, jsonToColumns, slug } from './column-recipes.ts';
import type { Recipe } from './recipe.ts';
import { dedupe, denormalise, purge, resetCounters, splitTable } from './table-recipes.ts';

/** By the kind that `create` is asked for. */
export const recipes = {
  'copy-column': copyColumn,
  'change-type': changeType,
  'split-table': splitTable,
  'json-to-columns': jsonToColumns,
  denormalise,
  'reset-counters': resetCounters,
  purge,
  dedupe,
  encrypt,
  slug,
} satisfies Readonly<Record<string, Recipe>>;

export type RecipeName = keyof typeof recipes;

export function isRecipe(kind: unknown): kind is RecipeName {
  return typeof kind === 'string' && Object.hasOwn(recipes, kind);
}
