import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { serverAccount, spawnOptionsOf } from '../../src/postgres/embedded/account.ts';
import { startEmbedded } from '../../src/postgres/embedded/index.ts';
import { expectEachOnce } from '../support/behind-pgbouncer.ts';
import { rowsDone, run, start, until } from '../support/cli.ts';
import { connect } from '../support/database.ts';
import { createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';
import { startTestServer } from '../support/server.ts';

const timeout = 120_000;

/** Starts a server again as a standby, on which nobody may write until it is promoted. */
async function restartAsStandby(dataDir: string): Promise<void> {
  const [postmaster = ''] = readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  const [program = '', ...args] = readFileSync(`/proc/${postmaster}/cmdline`, 'utf8')
    .split('\0')
    .slice(0, -1);
  process.kill(Number(postmaster), 'SIGINT');
  await until('the server has stopped', () => !existsSync(path.join(dataDir, 'postmaster.pid')));
  writeFileSync(path.join(dataDir, 'standby.signal'), '');
  spawn(program, args, { ...spawnOptionsOf(serverAccount()), detached: true, stdio: 'ignore' }).unref();
}

it(
  'goes on unattended when a standby becomes the primary; one that stays read-only ends the command with 4',
  async () => {
    const server = await startTestServer();
    try {
      const { dataDir } = await startEmbedded(server.projectDir);
      const before = await connect(server.url);
      await before.query(createCounters);
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url: server.url };
      const up = start(['up', '--workers', '2', '--chunk-size', '200'], place);
      await until('rows are migrated', () => rowsDone(before));
      await before.end();
      await restartAsStandby(dataDir);
      const standby = await until('the standby lets clients in', () => connect(server.url).catch(() => null));
      const done = await rowsDone(standby);

      const env = { UMZUG_CLUSTER_RETRY_BUDGET_MS: '300' };
      const refused = await run(['up'], { ...place, env });
      expect(refused.code, refused.stderr).toBe(4);
      expect(refused.stderr).toMatch(/standby|recovery|read-only/);
      expect(refused.stderr).toContain('progress is safe');
      const status = await run(['status'], place);
      expect(status.code, status.stderr).toBe(0);

      expect(await rowsDone(standby), 'nothing is written meanwhile').toBe(done);
      hurry(place.cwd);
      await standby.query('select pg_promote()');
      const { code, stderr } = await up.outcome;
      expect(code, stderr).toBe(0);
      await expectEachOnce(standby);
      await standby.end();
    } finally {
      await server.remove();
    }
  },
  timeout,
);
