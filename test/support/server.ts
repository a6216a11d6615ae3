import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { embeddedUrl, removeEmbedded, startEmbedded } from '../../src/postgres/embedded/index.ts';

/** A Postgres server for tests, in memory where the system allows; nothing on it survives a crash. */
export interface TestServer {
  readonly url: string;
  readonly projectDir: string;
  /** Stops the server and deletes its data. */
  remove(): Promise<void>;
}

/** Data is thrown away after the tests: durability would only cost time. */
const testSettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '300',
  max_prepared_transactions: '5',
};

/** A fresh folder that every account can enter; unless told, on a memory file system where there is one. */
export async function temporaryFolder(parent: string = memoryFolder()): Promise<string> {
  const folder = await mkdtemp(path.join(parent, 'umzug-cluster-test-'));
  // as root the server runs as another user, who has to get in
  await chmod(folder, 0o755);
  return folder;
}

function memoryFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return os.tmpdir();
  }
}

/** Starts a server of its own; it is removed even when this process is killed. `durable`: for benchmarks. */
export async function startTestServer(
  options: {
    readonly settings?: Readonly<Record<string, string>>;
    readonly keep?: boolean;
    readonly durable?: boolean;
  } = {},
): Promise<TestServer> {
  const { durable = false } = options;
  const projectDir = await temporaryFolder(durable ? os.tmpdir() : memoryFolder());
  const server = await startEmbedded(projectDir, {
    settings: { ...(durable ? {} : testSettings), ...options.settings },
  });
  const dismiss = options.keep === true ? () => undefined : removeAtDeath(projectDir, server.dataDir);
  return {
    url: embeddedUrl(server),
    projectDir,
    async remove() {
      dismiss();
      await removeEmbedded(projectDir);
      await rm(projectDir, { recursive: true, force: true });
    },
  };
}

/** A shell that sees the end of its input when this process dies, however it dies. Returns how to dismiss it. */
function removeAtDeath(projectDir: string, dataDir: string): () => void {
  const script = 'cat > /dev/null; kill -QUIT "$(head -n 1 "$2/postmaster.pid")"; rm -rf "$1" "${2%/data}"';
  const guard = spawn('/bin/sh', ['-c', script, 'sh', projectDir, dataDir], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  // closing the pipe is what sets it off, so it is killed first
  return () => guard.kill('SIGKILL');
}
