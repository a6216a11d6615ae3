import { execFileSync } from 'node:child_process';
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

/** Builds `dist` for the end-to-end tests and starts the one server, unless TEST_DATABASE_URL names another. */
export async function setup(project: TestProject): Promise<void> {
  if (process.env.SKIP_BUILD !== '1') {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: project.config.root, stdio: 'inherit' });
  }
  const given = process.env.TEST_DATABASE_URL;
  if (given === undefined || given === '') {
    server = await startTestServer({ keep: keepDatabases() });
  }
  project.provide('serverUrl', server?.url ?? given ?? '');
}

/** Removes the server, unless databases of failed tests are to be looked at. */
export async function teardown(): Promise<void> {
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
