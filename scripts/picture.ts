import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { embeddedUrl, removeEmbedded, startEmbedded } from '../src/postgres/embedded/index.ts';
import { type Frame, renderSvg } from './svg.ts';
import { VirtualScreen } from './virtual-screen.ts';

/**
 * Makes docs/terminal.svg: runs the example on a server of its own, with the built command line, and records what it
 * writes. The rows are 62,000, so it lasts seconds.
 */

const root = path.join(import.meta.dirname, '..');
const columns = 96;
// Fewer frames than the terminal had: the file is read over the network.
const leastGapMs = 250;

const folder = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-picture-'));
try {
  const url = embeddedUrl(await startEmbedded(folder));
  await record(['up', '--to', '2025.05.18T22.04.03.fill-properties'], url);
  // Held back, or it would be over before anything can be read.
  const frames = await record(['up', '--pace', '12000'], url);
  writeFileSync(path.join(root, 'docs', 'terminal.svg'), renderSvg(frames, columns));
  console.log(`docs/terminal.svg: ${frames.length} frames`);
} finally {
  await removeEmbedded(folder);
  rmSync(folder, { recursive: true, force: true });
}

/** Runs a command in what it takes for a terminal, and keeps what stood there, at its times. */
async function record(args: readonly string[], url: string): Promise<readonly Frame[]> {
  const screen = new VirtualScreen(columns);
  screen.write(`$ umzug-cluster ${args.join(' ')}\n`);
  const frames: Frame[] = [{ atMs: 0, lines: screen.spans }];
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--import',
      path.join(import.meta.dirname, 'pretend-terminal.mjs'),
      path.join(root, 'dist/cli.js'),
      ...args,
    ],
    {
      cwd: root,
      env: { PATH: process.env['PATH'], DATABASE_URL: url, TERM: 'xterm', PRETEND_TERMINAL: `${columns}x24` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const keep = (text: unknown): void => {
    // As it is called where it is installed.
    screen.write(String(text).replaceAll('node dist/cli.js', 'umzug-cluster'));
    const frame = { atMs: performance.now() - startedAt, lines: screen.spans };
    const isSoon = frame.atMs - (frames.at(-1)?.atMs ?? 0) < leastGapMs;
    if (isSoon && frames.length > 1) frames[frames.length - 1] = { ...frame, atMs: frames.at(-1)?.atMs ?? 0 };
    else frames.push(frame);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0)
    throw new Error(`${args.join(' ')} exited with ${String(code)}:\n${screen.lines.join('\n')}`);
  return frames;
}
