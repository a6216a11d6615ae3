import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { loadConfig } from '../config.ts';
import { fail, messageOf } from '../errors.ts';
import { isMigrationFile, nameOfFile } from '../migration/folder.ts';
import { migrationName, renderMigration } from '../migration/template.ts';
import type { Arguments } from './command.ts';
import { printJson, printLine, printNote } from './output.ts';

/** What `create` was asked for, parsed. */
export interface CreateRequest {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly prefix: 'TIMESTAMP' | 'DATE' | 'NONE';
}

/** Writes the file, and prints its path and the next commands. Throws USAGE or CONFIG before it writes. */
export async function createMigration(flags: Arguments, request: CreateRequest): Promise<void> {
  const config = await loadConfig({ flags, cwd: process.cwd(), needs: 'files' });
  const { folder: asked } = flags;
  const folder = typeof asked === 'string' ? path.resolve(config.cwd, asked) : config.migrationsDir;
  // umzug's own command line wants the extension in the name; whoever comes from it may type it.
  const wanted = nameOfFile(request.name);
  const name = migrationName({ name: wanted, prefix: request.prefix, now: new Date() });
  const existing = await namesIn(folder);
  refuseExisting(name, existing, folder);
  if (flags['allow-confusing-ordering'] !== true) refuseConfusingOrder(name, existing);
  if (flags['skip-verify'] !== true && folder !== config.migrationsDir)
    refuseOtherFolder(folder, config.migrationsDir);
  const file = path.join(folder, `${name}.ts`);
  await write(file, renderMigration(request.kind, name));
  if (config.output.json) return printJson({ name, path: file });
  printLine(path.relative(config.cwd, file) || file);
  printNote('fill it in, then:');
  printNote('  umzug-cluster pending   # it is in the list');
  printNote('  umzug-cluster up        # run it');
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter(isMigrationFile).map(nameOfFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fail('CONFIG', { message: `cannot read ${folder}: ${messageOf(error)}`, cause: error });
  }
}

function refuseExisting(name: string, existing: readonly string[], folder: string): void {
  if (!existing.includes(name)) return;
  throw fail('USAGE', {
    message: `${name} exists already in ${folder}`,
    hint: 'choose another --name',
  });
}

/** The order is by string; a file that sorts in the middle would be refused by `up` where later ones ran. */
function refuseConfusingOrder(name: string, existing: readonly string[]): void {
  const later = existing.filter((other) => other > name).toSorted()[0];
  if (later === undefined) return;
  throw fail('USAGE', {
    message: `${name} would sort before ${later}, which exists`,
    detail: 'migrations run in the order of their names; a new one belongs at the end',
    hint: 'choose another --prefix or --name, or add --allow-confusing-ordering',
  });
}

function refuseOtherFolder(folder: string, migrationsDir: string): void {
  throw fail('USAGE', {
    message: `up would not find a file in ${folder}: it reads ${migrationsDir}`,
    hint: 'leave out --folder, or add --skip-verify',
  });
}

async function write(file: string, text: string): Promise<void> {
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { flag: 'wx' });
  } catch (error) {
    throw fail('CONFIG', { message: `cannot write ${file}: ${messageOf(error)}`, cause: error });
  }
}
