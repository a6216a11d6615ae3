/** What a migration's file and its local imports were when it was recorded. */
export interface FileHashes {
  /** SHA-256 of the migration's own file, in hex. */
  readonly fileSha256: string;
  /** The same of every file of the project that it imports, by path relative to its folder. */
  readonly imports: Readonly<Record<string, string>>;
}

/** A file that is not as it was recorded; null: it was not there, or is not any more. */
export interface ChangedFile {
  /** Path of an import; null: the migration's own file. */
  readonly path: string | null;
  readonly recorded: string | null;
  readonly present: string | null;
}

/** Files that differ from what was recorded, the migration's own first. */
export function changedFiles(recorded: FileHashes, present: FileHashes): readonly ChangedFile[] {
  const paths = [...new Set([...Object.keys(recorded.imports), ...Object.keys(present.imports)])].sort();
  const all: readonly ChangedFile[] = [
    { path: null, recorded: recorded.fileSha256, present: present.fileSha256 },
    ...paths.map((path) => ({
      path,
      recorded: recorded.imports[path] ?? null,
      present: present.imports[path] ?? null,
    })),
  ];
  return all.filter((file) => file.recorded !== file.present);
}

/** `a.ts, lib/convert.ts`: changed files for a message. `own`: what the migration's own file is called. */
export function namesOf(changed: readonly ChangedFile[], own: string): string {
  return changed.map(({ path }) => path ?? own).join(', ');
}
