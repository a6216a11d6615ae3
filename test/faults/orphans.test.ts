import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { groupMembers, kill, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { held, holdingMigration, holds } from '../support/hold.ts';
import { createCounters, hurry, makeProject } from '../support/project.ts';

const isLong = process.env['FAULTS_LONG'] === '1';
// What the product promises on a machine that has nothing else to do; else that nothing stays is what is shown.
const promisedMs = 2_000;

it.each([
  ['waits', holds.idle],
  ['has a statement running', holds.statement],
  ['is blocked', holds.blocked],
])(
  'leaves no process behind 2 s after the primary is killed, though a worker %s; up goes on',
  async (_how, hold) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createCounters);
      const { dir } = makeProject({ 'a.ts': holdingMigration(hold) });
      const args = ['up', '--workers', '3', '--chunk-size', '50'];
      const up = start(args, { cwd: dir, url });
      const { pid } = await held(dir);
      expect(groupMembers(up.pid)).toContain(pid);
      kill(up.pid);
      if (isLong) await sleep(promisedMs);
      else await until('nothing is left behind', () => groupMembers(up.pid).length === 0);
      expect(groupMembers(up.pid)).toEqual([]);
      hurry(dir);
      const again = await run(['up', '--workers', '1'], { cwd: dir, url });
      expect(again.code, again.stderr).toBe(0);
      await expectEachOnce(client);
    });
  },
);
