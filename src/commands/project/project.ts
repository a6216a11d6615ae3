import { fieldsOf } from '../../core/values/fields.ts';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fail, messageOf } from '../../errors.ts';
import type { Language } from '../../migration/create/language.ts';

/** What a project's own files say of how it is written. */
export interface ProjectFacts {
  /** Its package.json, parsed; null: there is none. */
  readonly manifest: Readonly<Record<string, unknown>> | null;
  readonly language: Language;
}

/** How new files of a project are written, and with which extension. */
export interface FileStyle {
  readonly language: Language;
  readonly extension: string;
}

/** Looks at package.json and tsconfig.json of a folder. Throws CONFIG where package.json is not JSON. */
export function readProject(folder: string): ProjectFacts {
  const file = path.join(folder, 'package.json');
  const manifest = existsSync(file) ? parsed(file) : null;
  const hasTypescript =
    existsSync(path.join(folder, 'tsconfig.json')) ||
    ['dependencies', 'devDependencies'].some((kind) => 'typescript' in fieldsOf(manifest?.[kind]));
  // Where nothing says otherwise: types are worth it, and the tool runs them as they are.
  if (hasTypescript || manifest === null) return { manifest, language: 'ts' };
  return { manifest, language: manifest['type'] === 'module' ? 'esm' : 'cjs' };
}

/** The style of a new migration: that of the newest one in its folder, else the project's. */
export function styleOf({ manifest, language }: ProjectFacts, existing: readonly string[]): FileStyle {
  const isModule = manifest?.['type'] === 'module';
  const extension = path.extname(existing.toSorted().at(-1) ?? '');
  switch (extension) {
    case '.js':
      return { language: isModule ? 'esm' : 'cjs', extension };
    case '.mjs':
      return { language: 'esm', extension };
    case '.cjs':
      return { language: 'cjs', extension };
    default:
      return { language, extension: language === 'ts' ? '.ts' : '.js' };
  }
}

function parsed(file: string): Readonly<Record<string, unknown>> {
  try {
    return fieldsOf(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw fail('CONFIG', {
      message: `${path.basename(file)} cannot be read: ${messageOf(error)}`,
      hint: 'fix the file',
      cause: error,
    });
  }
}
