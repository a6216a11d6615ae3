import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { startTestServer } from './server.ts';
import type { TestServer } from './server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Connection string of the server that all tests share, as a superuser. */
    readonly serverUrl: string;
  }
}

let server: TestServer | null = null;
let cache: string | null = null;

/** Builds `dist` for the end-to-end tests and starts the one server, unless TEST_DATABASE_URL names another. */
export async function setup(project: TestProject): Promise<void> {
  if (process.env.SKIP_BUILD !== '1') {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: project.config.root, stdio: 'inherit' });
  }
  // Each test has a folder of its own, whose translated files nobody wants again.
  cache = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-cache-'));
  process.env.XDG_CACHE_HOME = cache;
  const given = process.env.TEST_DATABASE_URL;
  if (given === undefined || given === '') {
    server = await startTestServer({ keep: keepDatabases() });
  }
  project.provide('serverUrl', server?.url ?? given ?? '');
}

/** Removes the server, unless databases of failed tests are to be looked at. */
export async function teardown(): Promise<void> {
  if (cache !== null) rmSync(cache, { recursive: true, force: true });
  if (server === null) return;
  if (keepDatabases()) {
    console.log(
      `\nKEEP_DATABASES: the server is still running: ${server.url}\nIts data: ${server.projectDir}`,
    );
    return;
  }
  await server.remove();
}

function keepDatabases(): boolean {
  return (process.env.KEEP_DATABASES ?? '') !== '';
}
