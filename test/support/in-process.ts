import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { Outcome } from './cli.ts';

const built = pathToFileURL(path.resolve(import.meta.dirname, '../../dist/commands/main.js')).href;

/**
 * Runs the built command line in the test's own process: the same answer as of a process of its own, without the
 * 0.2 s of CPU time that each of those takes to start. Not for what ends, blocks or signals a process, nor for a
 * knexfile that reads `process.env`.
 */
export async function runInProcess(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  const { main } = (await import(/* @vite-ignore */ built)) as typeof import('../../src/commands/main.ts');
  const stdout = new Kept();
  const stderr = new Kept();
  const code = await main(args, { cwd, env, stdout, stderr });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** What was written, as a pipe would have it. */
class Kept extends Writable {
  text = '';

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}
