import { Worker, isMainThread, workerData } from 'node:worker_threads';

const pollMs = 500;

/**
 * Kills this process when its parent is gone. A worker leaves by itself when its IPC channel closes, but
 * not while author code blocks its event loop (a loop of 6 s was seen to survive for 7 s); a thread can.
 */
export function watchParent(): void {
  const thread = new Worker(new URL(import.meta.url), {
    workerData: { parent: process.ppid },
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
  });
  thread.unref();
}

if (!isMainThread) {
  const { parent } = workerData as { parent: number };
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL');
  }, pollMs);
}
