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

/**
 * Files that differ from what was recorded, the migration's own first. A path in another Unicode form, or with another
 * extension of TypeScript or JavaScript, is the same path.
 */
export function changedFiles(recorded: FileHashes, present: FileHashes): readonly ChangedFile[] {
  const before = Object.entries(recorded.imports);
  const now = Object.entries(present.imports);
  const paths = [...new Set([...before, ...now].map(([path]) => bare(path)))].sort();
  const all: readonly ChangedFile[] = [
    { path: null, recorded: recorded.fileSha256, present: present.fileSha256 },
    ...paths.map((path) => {
      const [then, at] = [before, now].map((files) => files.filter(([name]) => bare(name) === path));
      const name = at?.[0]?.[0] ?? then?.[0]?.[0] ?? path;
      return { path: name, recorded: printOf(then), present: printOf(at) };
    }),
  ];
  return all.filter((file) => file.recorded !== file.present);
}

function bare(path: string): string {
  return path.replace(/\.[cm]?[jt]sx?$/, '').normalize('NFC');
}

/** Two files may differ in nothing but their extension. */
function printOf(files: readonly (readonly [string, string])[] = []): string | null {
  return files.length === 0 ? null : files.map(([, sha256]) => sha256).join(' ');
}

/** `a.ts, lib/convert.ts`: changed files for a message. `own`: what the migration's own file is called. */
export function namesOf(changed: readonly ChangedFile[], own: string): string {
  return changed.map(({ path }) => path ?? own).join(', ');
}
