import { type ChildProcess, fork } from 'node:child_process';
import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { heapFlags } from '../process/heap.ts';
import { isOwnProcess } from '../process/own-process.ts';

/**
 * Starts a worker process. Those of the command are workers of node:cluster. An application may have a cluster of its
 * own, or be a worker of one, which must not notice: its settings, its events and its list of workers stay its own.
 */
export function startWorker(): ChildProcess {
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  const exec = fileURLToPath(new URL(file, import.meta.url));
  const how = { execArgv: [...heapFlags], serialization: 'advanced' as const };
  if (!isOwnProcess() || !cluster.isPrimary) return fork(exec, [], how);
  cluster.setupPrimary({ exec, args: [], ...how });
  const worker = cluster.fork();
  worker.on('error', () => undefined);
  return worker.process;
}
