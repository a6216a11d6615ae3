import { readFileSync, readdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { Outcome } from './cli.ts';

const built = pathToFileURL(path.resolve(import.meta.dirname, '../../dist/commands/main.js')).href;

/**
 * Runs the built command line in the test's own process: the same answer as of a process of its own, without the CPU
 * time that each of those takes to start, which is ten times what most commands take. Not for what ends, blocks or
 * signals a process, nor for author code that reads `process.env`. `typed`: what somebody at a terminal answers.
 */
export async function runInProcess(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  typed: string | null = null,
): Promise<Outcome> {
  const { main } = (await import(/* @vite-ignore */ built)) as typeof import('../../src/commands/main.ts');
  const stdout = new Kept();
  const stderr = new Kept();
  const code = await main(args, {
    cwd,
    env,
    stdout,
    stderr,
    ...(typed === null ? {} : terminal(typed, stderr)),
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

function terminal(typed: string, stderr: Kept): { readonly stdin: NodeJS.ReadStream } {
  Object.assign(stderr, { isTTY: true });
  return { stdin: Object.assign(Readable.from([typed]), { isTTY: true }) as unknown as NodeJS.ReadStream };
}

/** Does `work` with these variables in `process.env`, where author code finds them: one at a time. */
export async function withEnvironment<T>(env: NodeJS.ProcessEnv, work: () => Promise<T>): Promise<T> {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  try {
    return await work();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

// Its signals, its children, its modules' memory, errors that only its events bring, connections that nobody closes,
// paths in the folder where it was started.
const ofProcess = [
  /\bprocess\b(?!\.env\b)|\bglobalThis\b|node:(?:cluster|worker_threads|child_process)/,
  /\bvoid \(async|setTimeout\(\(\) => \{ throw/,
  /createRequire|import (?:pg|knex) from/,
  /(?:Sync|isThere)\(['"`]/,
];

/** Whether the environment is read as the process starts, or author code has to do with the process that it runs in. */
export function needsProcess(env: NodeJS.ProcessEnv, sources: readonly string[]): boolean {
  if (Object.keys(env).some((name) => /^(?:NODE_|PG|HOME|XDG|PATH)/.test(name))) return true;
  return sources.some((text) => ofProcess.some((pattern) => pattern.test(text)));
}

/** The texts of the knexfile and of the migrations of a project. */
export function sourcesIn(folder: string): readonly string[] {
  const files = readdirSync(folder, { withFileTypes: true, recursive: true });
  return files
    .filter(
      (file) => file.isFile() && /\.[cm]?[jt]s$/.test(file.name) && !file.parentPath.includes('node_modules'),
    )
    .map((file) => readFileSync(path.join(file.parentPath, file.name), 'utf8'));
}

/** What was written, as a pipe would have it. */
class Kept extends Writable {
  text = '';

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}
