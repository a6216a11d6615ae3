import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Config, loadConfig } from '../../config/config.ts';
import { fail, placeError } from '../../errors.ts';
import { isMigrationFile, nameOfFile } from '../../migration/file/folder.ts';
import { migrationName } from '../../migration/create/new-name.ts';
import type { DescribedTable } from '../../migration/table/described-table.ts';
import { type NewFile, migrationFile, recipeFiles } from '../../migration/create/new-files.ts';
import { isRecipe } from '../../migration/create/recipes.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';
import { readProject, styleOf } from './project.ts';

/** What `create` was asked for, parsed. */
export interface CreateRequest {
  readonly name: string;
  /** Of a template or a recipe. */
  readonly kind: string;
  /** Table to look up in the database: TABLE or SCHEMA.TABLE. */
  readonly table: string | undefined;
  readonly prefix: 'TIMESTAMP' | 'DATE' | 'NONE' | undefined;
}

/** Writes the file, and prints its path and the next commands. Throws USAGE or CONFIG before it writes. */
export async function createMigration(flags: Arguments, io: Io, request: CreateRequest): Promise<void> {
  const config = await loadConfig({ flags, cwd: io.cwd, env: io.env, needs: 'files' });
  const { folder: asked } = flags;
  const folder = typeof asked === 'string' ? path.resolve(config.cwd, asked) : config.migrationsDir;
  // umzug's own command line wants the extension in the name; whoever comes from it may type it.
  const wanted = nameOfFile(request.name);
  const isRead = config.migrationsDirs.includes(folder);
  const files = await filesIn(folder);
  // Of several folders the files run in one order.
  const besides = isRead ? config.migrationsDirs.filter((other) => other !== folder) : [];
  const existing = [...files, ...(await Promise.all(besides.map(filesIn))).flat()].map(nameOfFile);
  const { language, extension } = styleOf(readProject(config.cwd), files);
  if (flags['skip-verify'] !== true && !isRead) refuseOtherFolder(folder, config.migrationsDirs);
  const table = request.table === undefined ? null : await lookUp({ config, flags, io }, request.table);
  const isConfusing = flags['allow-confusing-ordering'] === true;
  const named = (text: string, there: readonly string[]): string => {
    const name = migrationName({ name: text, prefix: request.prefix, now: new Date(), existing: there });
    refuseExisting(name, there, folder);
    if (!isConfusing) refuseConfusingOrder(name, there);
    return name;
  };
  const { kind } = request;
  const written: NewFile[] = isRecipe(kind)
    ? recipeFiles({
        kind,
        wanted,
        language,
        extension,
        table,
        existing,
        named,
        folder: path.relative(config.cwd, folder),
      })
    : [migrationFile({ kind, name: named(wanted, existing), language, extension, table })];
  const placed = written.map(({ name, text, isTest }) => ({
    name,
    path: isTest ? path.join(config.cwd, 'test', name) : path.join(folder, name + extension),
    text,
  }));
  for (const { path: file, text } of placed) await write(file, text);
  const [first] = placed;
  if (config.output.json) {
    return printJson(io, { name: first?.name, path: first?.path, files: placed.map((one) => one.path) });
  }
  for (const { path: file } of placed) printLine(io, path.relative(config.cwd, file) || file);
  printNote(io, isRecipe(kind) ? 'change the names of columns to yours, then run:' : 'fill it in, then run:');
  printNote(io, `  umzug-cluster plan ${isRecipe(kind) ? '' : first?.name}`.trimEnd());
  printNote(io, '  umzug-cluster up');
}

/** The table as the database has it. */
async function lookUp(
  { config, flags, io }: { readonly config: Config; readonly flags: Arguments; readonly io: Io },
  table: string,
): Promise<DescribedTable> {
  const { catalogOf } = await import('../../migration/table/base-table.ts');
  const { describeTable } = await import('../../migration/table/described-table.ts');
  const { openControl } = await import('../../cluster/worker/control.ts');
  const { authorSearchPath, beginReadOnly, plainSettings, withTransaction } =
    await import('../../postgres/transaction.ts');
  const { withContext } = await import('../frame/context.ts');
  return await withContext(flags, io, async (session) => {
    const control = openControl(session.config);
    try {
      return await control.use((connection) =>
        withTransaction(
          connection,
          plainSettings,
          async () => {
            await connection.query(authorSearchPath(config.searchPath));
            return await describeTable(catalogOf(connection, config.searchPath), table);
          },
          beginReadOnly,
        ),
      );
    } finally {
      await control.close();
    }
  });
}

async function filesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter(isMigrationFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw placeError(`cannot read ${folder}`, error, 'read');
  }
}

function refuseExisting(name: string, existing: readonly string[], folder: string): void {
  if (!existing.includes(name)) return;
  throw fail('USAGE', {
    message: `${name} already exists in ${folder}`,
    hint: 'choose another --name',
  });
}

/** The order is by string; a file that sorts in the middle would be refused by `up` where later ones ran. */
function refuseConfusingOrder(name: string, existing: readonly string[]): void {
  const later = existing.filter((other) => other > name).toSorted()[0];
  if (later === undefined) return;
  throw fail('USAGE', {
    message: `${name} would sort before ${later}, which exists`,
    detail: 'migrations run in the order of their names, letter by letter; a new one goes last',
    hint: 'choose another --prefix or --name, or add --allow-confusing-ordering',
  });
}

function refuseOtherFolder(folder: string, migrationsDirs: readonly string[]): void {
  throw fail('USAGE', {
    message: `up would not find a file in ${folder}; it reads ${migrationsDirs.join(', ')}`,
    hint: 'leave out --folder, or add --skip-verify',
  });
}

async function write(file: string, text: string): Promise<void> {
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { flag: 'wx' });
  } catch (error) {
    throw placeError(`cannot write ${file}`, error, 'write');
  }
}
