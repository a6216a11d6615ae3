import { fieldsOf } from '../../core/values/fields.ts';
import { counted } from '../../core/values/numbers.ts';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from '../../config/config.ts';
import { placeError } from '../../errors.ts';
import { isMigrationFile } from '../../migration/file/folder.ts';
import type { Language } from '../../migration/create/language.ts';
import type { Arguments } from '../frame/command.ts';
import { canAsk, requireYes } from '../frame/ask.ts';
import { type Detected, type PackageManager, detect } from './detect.ts';
import { type Io, printJson, printLine, printNote } from '../frame/output.ts';
import { type ProjectFacts, readProject } from './project.ts';

/** What `init` does, and what it found and leaves as it is; each in words, with the file's name. */
interface Plan {
  readonly steps: { readonly does: string; write(): void }[];
  readonly left: string[];
}

/**
 * Writes what a project lacks to run migrations, and says what it found, what it did and what it left. At a terminal
 * it asks first, unless `yes`; elsewhere it need not, since it overwrites nothing. Throws CONFIG where a file that is
 * there cannot be read, before anything is written.
 */
export async function initProject(flags: Arguments, io: Io): Promise<void> {
  const { cwd, env } = io;
  const project = readProject(cwd);
  // A knexfile that is there must load, and says where the migrations are.
  const config = await loadConfig({ flags, cwd, env, needs: 'files' });
  const found = detect(cwd, project);
  const plan: Plan = { steps: [], left: [] };
  addKnexfile(cwd, config.knexfile, project.language, plan);
  const recorded = addFolder(cwd, config.migrationsDir, hasOurScripts(project) ? [] : found.otherTools, plan);
  addScripts(cwd, project, found, plan);
  addTarget(cwd, plan);
  addIgnored(cwd, plan);
  const done = plan.steps.map(({ does }) => does);
  if (!config.output.json) {
    printLine(io, `found: ${describe(project, found)}`);
    for (const line of obsolete(found)) printLine(io, line);
  }
  if (flags['yes'] !== true && done.length > 0 && canAsk(io)) await confirm(io, done);
  try {
    for (const step of plan.steps) step.write();
  } catch (error) {
    throw placeError(`cannot set up ${cwd}`, error, 'write');
  }
  const next = nextCommands(project, found, recorded);
  if (config.output.json) return printJson(io, { found, done, left: plan.left, next });
  for (const line of done) printLine(io, line);
  for (const line of plan.left) printLine(io, `unchanged: ${line}`);
  printNote(io, 'now:');
  for (const line of next) printNote(io, `  ${line}`);
}

async function confirm(io: Io, done: readonly string[]): Promise<void> {
  for (const line of done) printNote(io, `  ${line}`);
  await requireYes(io, 'Write this?', ['write', 'written']);
}

function describe({ manifest, language }: ProjectFacts, found: Detected): string {
  const isModule = manifest?.['type'] === 'module';
  return [
    found.packageManager,
    ...(language === 'ts' ? ['TypeScript'] : []),
    isModule ? 'ES modules' : 'CommonJS',
    ...(found.testFramework === null ? [] : [`tests with ${found.testFramework}`]),
    ...found.otherTools,
  ].join(', ');
}

function obsolete({ otherScripts }: Detected): readonly string[] {
  const scripts = Object.entries(otherScripts).map(([name, line]) => `"${name}" (${line})`);
  if (scripts.length === 0) return [];
  return [
    `obsolete once umzug-cluster runs these migrations: ${scripts.length === 1 ? 'script' : 'scripts'} ${scripts.join(', ')}`,
  ];
}

const installs: Readonly<Record<PackageManager, string>> = {
  npm: 'npm install',
  pnpm: 'pnpm add',
  yarn: 'yarn add',
  bun: 'bun add',
};

/** What to type now; `recorded`: the tool whose record of the folder's files is taken over first. */
function nextCommands(
  project: ProjectFacts,
  { packageManager }: Detected,
  recorded: string | null,
): readonly string[] {
  const install = isInstalled(project) ? [] : [`${installs[packageManager]} umzug-cluster`];
  const create = 'umzug-cluster create --name my-change';
  if (recorded === null) return [...install, create, 'umzug-cluster up'];
  return [...install, `umzug-cluster baseline --from ${recorded}`, create];
}

function hasOurScripts({ manifest }: ProjectFacts): boolean {
  return Object.values(fieldsOf(manifest?.['scripts'])).some((line) =>
    String(line).includes('umzug-cluster'),
  );
}

function addKnexfile(cwd: string, existing: string | null, language: Language, plan: Plan): void {
  if (existing !== null) {
    plan.left.push(`${path.relative(cwd, existing)}: settings go to migrations.cluster`);
    return;
  }
  const name = language === 'ts' ? 'knexfile.ts' : 'knexfile.js';
  const [before, behind] =
    language === 'cjs' ? ['module.exports = ', ';'] : ['const config = ', ';\n\nexport default config;'];
  const text = `${before}${settings}${behind}\n`;
  plan.steps.push({
    does: `${name}: written`,
    write: () => writeFileSync(path.join(cwd, name), text, { flag: 'wx' }),
  });
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

/** The tool that is likely to have run the files that are there; null: none are, or it is not clear which. */
function addFolder(cwd: string, folder: string, tools: readonly string[], plan: Plan): string | null {
  const name = `${path.relative(cwd, folder)}/`;
  if (!existsSync(folder)) {
    const write = (): void => {
      mkdirSync(folder, { recursive: true });
      // Git keeps no empty folder, and without it a deploy would be refused.
      writeFileSync(path.join(folder, '.gitkeep'), '');
    };
    plan.steps.push({ does: `${name}: created`, write });
    return null;
  }
  const files = readdirSync(folder).filter(isMigrationFile);
  const [tool] = tools;
  if (files.length === 0 || tool === undefined) {
    plan.left.push(`${name}: ${files.length === 0 ? 'empty' : counted(files.length, 'file')}`);
    return null;
  }
  const takeOver = `umzug-cluster baseline --from ${tools.join(' or ')}`;
  plan.left.push(
    `${name}: ${counted(files.length, 'file')}; if another tool has run them, take over its record: ${takeOver}`,
  );
  return tools.length === 1 ? tool : null;
}

const scripts: Readonly<Record<string, string>> = {
  '': 'umzug-cluster up',
  ':plan': 'umzug-cluster plan',
  ':down': 'umzug-cluster down',
  ':status': 'umzug-cluster status',
  ':create': 'umzug-cluster create --name',
};

/**
 * npm, pnpm and others run a script in a shell, which would not pass on the signal that ends a deploy: `exec` puts the
 * command in its place. Where scripts of that prefix are another tool's, ours get one of their own.
 */
function addScripts(cwd: string, { manifest }: ProjectFacts, { hasOwnShell }: Detected, plan: Plan): void {
  if (manifest === null) {
    plan.left.push('package.json: there is none, so no scripts were added');
    return;
  }
  const present = fieldsOf(manifest['scripts']);
  const isOurs = (line: unknown): boolean => String(line).includes('umzug-cluster');
  const isTaken = Object.entries(present).some(
    ([name, line]) => /^migrate(?::|$)/.test(name) && !isOurs(line),
  );
  const prefix = isTaken ? 'migrate-data' : 'migrate';
  // The shell of Windows has no `exec`, nor its processes signals.
  const start = hasOwnShell || process.platform === 'win32' ? '' : 'exec ';
  const wanted = Object.entries(scripts).map(
    ([name, line]) => [`${prefix}${name}`, `${start}${line}`] as const,
  );
  const missing = wanted.filter(([name]) => !(name in present));
  for (const [name, line] of wanted) {
    if (name in present && present[name] !== line)
      plan.left.push(`package.json: script "${name}" exists; this tool's: ${line}`);
  }
  if (missing.length === 0) {
    plan.left.push('package.json: has the scripts');
    return;
  }
  const file = path.join(cwd, 'package.json');
  const text = readFileSync(file, 'utf8');
  const indent = /^\{\r?\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
  const changed = { ...manifest, scripts: { ...present, ...Object.fromEntries(missing) } };
  const end = text.endsWith('\n') ? '\n' : '';
  const written = JSON.stringify(changed, null, indent) + end;
  plan.steps.push({
    does: `package.json: scripts ${missing.map(([name]) => name).join(', ')} added`,
    write: () => writeFileSync(file, text.includes('\r\n') ? written.replaceAll('\n', '\r\n') : written),
  });
}

// Not by npx, whose shell would keep signals to itself.
const targetLine = 'node_modules/.bin/umzug-cluster up $(ARGS)';

/** A project that is run by make gets a target; one that is not gets no Makefile. */
function addTarget(cwd: string, plan: Plan): void {
  const name = ['Makefile', 'makefile', 'GNUmakefile'].find((one) => existsSync(path.join(cwd, one)));
  if (name === undefined) return;
  const file = path.join(cwd, name);
  const text = readFileSync(file, 'utf8');
  if (/^migrate\s*:/m.test(text)) {
    plan.left.push(`${name}: target migrate exists; this tool's: ${targetLine}`);
    return;
  }
  const separator = text === '' || text.endsWith('\n') ? '\n' : '\n\n';
  const written = `${text}${separator}.PHONY: migrate\nmigrate:\n\t${targetLine}\n`;
  plan.steps.push({ does: `${name}: target migrate added`, write: () => writeFileSync(file, written) });
}

/** Where the embedded server of development keeps its data. */
const ignored = '.postgres/';

function addIgnored(cwd: string, plan: Plan): void {
  const file = path.join(cwd, '.gitignore');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (/^\/?\.postgres\/?\s*$/m.test(text)) {
    plan.left.push(`.gitignore: has ${ignored}`);
    return;
  }
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  const written = `${text}${separator}${ignored}\n`;
  plan.steps.push({ does: `.gitignore: ${ignored} added`, write: () => writeFileSync(file, written) });
}

function isInstalled({ manifest }: ProjectFacts): boolean {
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies'];
  return (
    manifest?.['name'] === 'umzug-cluster' ||
    kinds.some((kind) => 'umzug-cluster' in fieldsOf(manifest?.[kind]))
  );
}
