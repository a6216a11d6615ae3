import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from '../../errors.ts';
import { isMigrationFile, nameOfFile } from '../../migration/file/folder.ts';
import { type Described, type Mishap, crashFile, descriptionFile } from './interrupted.ts';

/** A folder of migrations that replace those of the author's, which are loaded from where they are. */
export interface TestFolder {
  /** Folder that the command line is pointed to. */
  readonly migrations: string;
  /** Puts a migration in; returns its name. */
  add(file: string): Promise<string>;
  /** A message with the names of the author's files for those that stand for them. */
  translate(message: string): string;
  /** Orders what goes wrong in all commands from now on; null: nothing. */
  order(mishap: Mishap | null): Promise<void>;
  /** What a migration that was loaded exports. */
  describe(name: string): Promise<Described | null>;
}

/** Gives `work` a temporary folder, and deletes it. */
export async function withFolder<Result>(work: (folder: TestFolder) => Promise<Result>): Promise<Result> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'umzug-cluster-testing-'));
  const migrations = path.join(root, 'migrations');
  try {
    await mkdir(migrations);
    const originals = new Map<string, string>();
    return await work({
      migrations,
      add: async (file) => {
        const name = await addTo(migrations, root, file);
        originals.set(`${name}.mjs`, file);
        return name;
      },
      translate: (message) => {
        let text = message.replaceAll(migrations + path.sep, '');
        for (const [standIn, file] of originals) text = text.replaceAll(standIn, path.basename(file));
        return text;
      },
      order: async (mishap) => {
        const order = path.join(root, crashFile);
        await (mishap === null ? rm(order, { force: true }) : writeFile(order, JSON.stringify(mishap)));
      },
      describe: async (name) => {
        const text = await readFile(path.join(root, descriptionFile(name)), 'utf8').catch(() => 'null');
        return JSON.parse(text) as Described | null;
      },
    });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function addTo(migrations: string, root: string, file: string): Promise<string> {
  const isFile = await stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
  if (!isFile) throw fail('USAGE', { message: `testMigration: there is no file ${file}` });
  if (!isMigrationFile(path.basename(file))) {
    throw fail('USAGE', {
      message: `testMigration: ${file} is not named like a migration`,
      hint: 'its name must end with .ts or .js, and not with .test.ts or .d.ts',
    });
  }
  const name = nameOfFile(path.basename(file));
  const between = fileURLToPath(new URL('./interrupted.js', import.meta.url));
  const [theirs, ours] = [file, between].map((one) => JSON.stringify(one));
  const text = `import * as file from ${theirs};
import { interrupted } from ${ours};
export default interrupted(file, ${JSON.stringify(root)}, ${JSON.stringify(name)});
`;
  await writeFile(path.join(migrations, `${name}.mjs`), text);
  return name;
}
