import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { BlockingLimit, LastWords, ProcessWatchData } from './process-watch.ts';

/**
 * The thread of `watchProcess`. It counts its own looks, not the clock: a process that was stopped, or a laptop
 * that slept, was not blocked.
 */

const lookMs = 250;

// What the main thread reports takes milliseconds, where anything can be said there.
const patienceMs = 2_000;

const { parent, pulse } = workerData as ProcessWatchData;
let seen = -1;
let stillMs = 0;
let limit: BlockingLimit = { limitMs: Infinity, lastWords: { stdout: '', stderr: '' } };

parentPort?.on('message', (told: BlockingLimit) => {
  limit = told;
});

const looking = setInterval(() => {
  if (parent !== null && process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
  const turns = Atomics.load(pulse.turns, 0);
  const isStill = turns === seen && Atomics.load(pulse.openChunks, 0) > 0;
  stillMs = isStill ? stillMs + lookMs : 0;
  seen = turns;
  if (stillMs > limit.limitMs) endBlocked();
}, lookMs);

/** Has `process.exit` called from within the code that blocks; what even this does not reach is killed. */
function endBlocked(): void {
  clearInterval(looking);
  Atomics.store(pulse.blocked, 0, 1);
  setTimeout(() => {
    speak(limit.lastWords);
    process.kill(process.pid, 'SIGKILL');
  }, patienceMs);
  void exitFromWithin();
}

function speak({ stdout, stderr }: LastWords): void {
  writeSync(1, stdout);
  if (typeof stderr === 'string') return void writeSync(2, stderr);
  const { level, ...fields } = stderr;
  writeSync(2, `${JSON.stringify({ level, time: new Date().toISOString(), ...fields })}\n`);
}

async function exitFromWithin(): Promise<void> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.evaluate', { expression: 'process.exit(1)' });
}
