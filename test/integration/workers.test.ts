import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import type { Job } from '../../src/cluster/worker/protocol.ts';
import type { WorkersEvents } from '../../src/cluster/worker/workers.ts';
import type { Logger } from '../../src/logger.ts';
import { kill } from '../support/cli.ts';

// A worker is a process of the built command.
const built = pathToFileURL(path.resolve(import.meta.dirname, '../../dist/cluster/worker/workers.js')).href;

const isDead = (pid: number): boolean => / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

it('sees off a worker that has died without anybody having noticed yet', async () => {
  const pids: number[] = [];
  const unread = (): void => undefined;
  const logger: Logger = {
    debug: (record) => void (record.event === 'worker.forked' && pids.push(record.worker)),
    info: unread,
    warn: unread,
    error: unread,
  };
  const { Workers } = (await import(
    /* @vite-ignore */ built
  )) as typeof import('../../src/cluster/worker/workers.ts');
  const workers = new Workers(logger);
  // It is there once it says that this is no job.
  await new Promise<unknown>((onFailed) => {
    const events: WorkersEvents = {
      onChunk: unread,
      onTold: unread,
      onFailed,
      onDeath: unread,
      mayTryAgain: () => false,
    };
    workers.fork({ migration: { name: 'a', path: '' } } as Job, events);
  });
  const [pid = 0] = pids;
  kill(pid);
  // Without a turn of the loop, in which its end would be seen: what is sent to it meets a pipe without a reader.
  while (!isDead(pid));
  await expect(workers.leave(60_000)).resolves.toBeUndefined();
  expect(workers.count).toBe(0);
});
