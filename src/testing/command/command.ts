import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ArgValues } from '../../core/config/args.ts';
import { environmentOn } from './environment.ts';
import type { TestFolder } from './folder.ts';

/** A migration as the command line gets it, and what to run it with. */
export interface Place {
  readonly cwd: string;
  readonly folder: TestFolder;
  /** Flags that say where the project's configuration is. */
  readonly configuration: readonly string[];
  /** Values of arguments. */
  readonly args: ArgValues;
  /** Ends the command with SIGKILL. */
  readonly signal: AbortSignal;
}

/** How a command ended. `killed`: by SIGKILL, as a crash does. */
export type Ended =
  | { readonly kind: 'done'; readonly output: unknown }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly output: unknown }
  | { readonly kind: 'killed' };

/** Runs the command line, in a process of its own, on a database. */
export function runCommand(
  { cwd, folder, configuration, args: values, signal }: Place,
  url: string,
  args: readonly string[],
): Promise<Ended> {
  const cli = fileURLToPath(new URL('../../cli.js', import.meta.url));
  const flags = [
    '--json',
    '--log-level',
    'error',
    '--workers',
    '1',
    '--migrations',
    folder.migrations,
    ...configuration,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args, ...flags], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environmentOn(url, values),
      signal,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += String(data)));
    child.stderr.on('data', (data) => (stderr += String(data)));
    child.on('error', reject);
    child.on('close', (code, killedBy) => {
      if (killedBy === 'SIGKILL') resolve({ kind: 'killed' });
      else resolve(endedOf(code, folder.translate(stdout), folder.translate(stderr)));
    });
  });
}

function endedOf(code: number | null, stdout: string, stderr: string): Ended {
  const output = parse(stdout);
  if (code === 0) return { kind: 'done', output };
  const { error } = (output ?? {}) as {
    error?: Record<'code' | 'message' | 'detail' | 'hint', string | null>;
  };
  // A process that died without a word has at most something on stderr.
  if (error === undefined) return { kind: 'failed', code: 'INTERNAL', message: stderr.trim(), output };
  const parts = [error.message, error.detail, error.hint].filter((part) => part !== null);
  return { kind: 'failed', code: String(error.code), message: parts.join('\n    '), output };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
