import { fieldsOf } from '../../core/values/fields.ts';
import { counted } from '../../core/values/numbers.ts';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from '../../config/config.ts';
import { placeError } from '../../errors.ts';
import { isMigrationFile } from '../../migration/file/folder.ts';
import type { Language } from '../../migration/create/language.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';
import { type ProjectFacts, readProject } from './project.ts';

/** What `init` did, and what it found and left as it was; each in words, with the file's name. */
interface Done {
  readonly done: string[];
  readonly left: string[];
}

/**
 * Writes what a project lacks to run migrations, and says what it did and what it left. Throws CONFIG where a file
 * that is there cannot be read, before anything is written.
 */
export async function initProject(flags: Arguments, io: Io): Promise<void> {
  const { cwd, env } = io;
  const project = readProject(cwd);
  // A knexfile that is there must load, and says where the migrations are.
  const config = await loadConfig({ flags, cwd, env, needs: 'files' });
  const said: Done = { done: [], left: [] };
  try {
    addKnexfile(cwd, config.knexfile, project.language, said);
    addFolder(cwd, config.migrationsDir, said);
    addScripts(cwd, project, said);
    addTarget(cwd, said);
    addIgnored(cwd, said);
  } catch (error) {
    throw placeError(`cannot set up ${cwd}`, error, 'write');
  }
  if (config.output.json) return printJson(io, said);
  for (const line of said.done) printLine(io, line);
  for (const line of said.left) printLine(io, `unchanged: ${line}`);
  printNote(io, 'now:');
  if (!isInstalled(project)) printNote(io, '  npm install umzug-cluster');
  printNote(io, '  umzug-cluster create --name my-change');
  printNote(io, '  umzug-cluster up');
}

function addKnexfile(cwd: string, existing: string | null, language: Language, said: Done): void {
  if (existing !== null) {
    said.left.push(`${path.relative(cwd, existing)}: settings go to migrations.cluster`);
    return;
  }
  const name = language === 'ts' ? 'knexfile.ts' : 'knexfile.js';
  const [before, behind] =
    language === 'cjs' ? ['module.exports = ', ';'] : ['const config = ', ';\n\nexport default config;'];
  writeFileSync(path.join(cwd, name), `${before}${settings}${behind}\n`, { flag: 'wx' });
  said.done.push(`${name}: written`);
}

const settings = `{
  client: 'pg',
  // The database is that of DATABASE_URL, of a connection here, or of the PG* variables.
  migrations: {
    directory: './migrations',
    // Settings of umzug-cluster, such as workers and targetMs: see docs/reference.md of the package.
    // embedded: true uses a server of this folder's own where no database is configured; never in production.
    cluster: {},
  },
}`;

function addFolder(cwd: string, folder: string, said: Done): void {
  const name = `${path.relative(cwd, folder)}/`;
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true });
    // Git keeps no empty folder, and without it a deploy would be refused.
    writeFileSync(path.join(folder, '.gitkeep'), '');
    said.done.push(`${name}: made`);
    return;
  }
  const files = readdirSync(folder).filter(isMigrationFile);
  const many = counted(files.length, 'file');
  const next =
    files.length === 0
      ? 'empty'
      : `${many}; if another tool has run them, take over its record: umzug-cluster baseline --from knex, sequelize or node-pg-migrate`;
  said.left.push(`${name}: ${next}`);
}

const scripts: Readonly<Record<string, string>> = {
  migrate: 'umzug-cluster up',
  'migrate:plan': 'umzug-cluster plan',
  'migrate:down': 'umzug-cluster down',
  'migrate:status': 'umzug-cluster status',
  'migrate:create': 'umzug-cluster create --name',
};

function addScripts(cwd: string, { manifest }: ProjectFacts, said: Done): void {
  if (manifest === null) {
    said.left.push('package.json: there is none, so no scripts were added');
    return;
  }
  const present = fieldsOf(manifest['scripts']);
  const missing = Object.entries(scripts).filter(([name]) => !(name in present));
  const taken = Object.entries(scripts).filter(([name, line]) => name in present && present[name] !== line);
  for (const [name, line] of taken)
    said.left.push(`package.json: script "${name}" exists; this tool's: ${line}`);
  if (missing.length === 0) {
    if (taken.length === 0) said.left.push('package.json: has the scripts');
    return;
  }
  const file = path.join(cwd, 'package.json');
  const text = readFileSync(file, 'utf8');
  const indent = /^\{\r?\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
  const changed = { ...manifest, scripts: { ...present, ...Object.fromEntries(missing) } };
  const end = text.endsWith('\n') ? '\n' : '';
  const written = JSON.stringify(changed, null, indent) + end;
  writeFileSync(file, text.includes('\r\n') ? written.replaceAll('\n', '\r\n') : written);
  said.done.push(`package.json: scripts ${missing.map(([name]) => name).join(', ')} added`);
}

/** A project that is run by make gets a target; one that is not gets no Makefile. */
function addTarget(cwd: string, said: Done): void {
  const name = ['Makefile', 'makefile', 'GNUmakefile'].find((one) => existsSync(path.join(cwd, one)));
  if (name === undefined) return;
  const file = path.join(cwd, name);
  const text = readFileSync(file, 'utf8');
  if (/^migrate\s*:/m.test(text)) {
    said.left.push(`${name}: target migrate exists; this tool's: npx umzug-cluster up`);
    return;
  }
  const separator = text === '' || text.endsWith('\n') ? '\n' : '\n\n';
  writeFileSync(file, `${text}${separator}.PHONY: migrate\nmigrate:\n\tnpx umzug-cluster up $(ARGS)\n`);
  said.done.push(`${name}: target migrate added`);
}

/** Where the embedded server of development keeps its data. */
const ignored = '.postgres/';

function addIgnored(cwd: string, said: Done): void {
  const file = path.join(cwd, '.gitignore');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (/^\/?\.postgres\/?\s*$/m.test(text)) {
    said.left.push(`.gitignore: has ${ignored}`);
    return;
  }
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  writeFileSync(file, `${text}${separator}${ignored}\n`);
  said.done.push(`.gitignore: ${ignored} added`);
}

function isInstalled({ manifest }: ProjectFacts): boolean {
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies'];
  return (
    manifest?.['name'] === 'umzug-cluster' ||
    kinds.some((kind) => 'umzug-cluster' in fieldsOf(manifest?.[kind]))
  );
}
