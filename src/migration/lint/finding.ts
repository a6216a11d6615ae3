import path from 'node:path';
import type { LoadedMigration } from '../file/loader.ts';
import type { Allow } from './allow.ts';
import type { Table } from './statement.ts';

/** Something that reviewers of such changes would say. */
export interface LintFinding {
  readonly rule: string;
  readonly migration: string;
  readonly path: string;
  readonly line: number;
  /** With the file's name and the line. */
  readonly message: string;
  /** What it means in production. */
  readonly happens: string | null;
  readonly hint: string;
  /** What the catalog may say more about. */
  readonly table: Table | null;
  readonly column: string | null;
  /** For a change of type the new one. */
  readonly type: string | null;
  /** Without the catalog it cannot be told whether it is one. */
  readonly needsCatalog: boolean;
}

/** A statement's place, and what is allowed there. */
export interface Place {
  readonly migration: LoadedMigration;
  readonly line: number;
  readonly allows: readonly Allow[];
}

/** A finding at a place. */
export function finding(
  { migration, line }: Place,
  rule: string,
  {
    does,
    happens,
    instead,
  }: { readonly does: string; readonly happens: string | null; readonly instead: string },
): LintFinding {
  return {
    rule,
    migration: migration.name,
    path: migration.path,
    line,
    message: `${path.basename(migration.path)}:${line} ${does} (${rule})`,
    happens,
    hint: `${instead}; or, if it is meant, in a comment above it: umzug-cluster: allow ${rule}`,
    table: null,
    column: null,
    type: null,
    needsCatalog: false,
  };
}
