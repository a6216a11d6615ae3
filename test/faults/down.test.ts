import type pg from 'pg';
import { expect, it } from 'vitest';
import {
  auditedRows,
  closeGate,
  createAudited,
  expectAllBack,
  expectCode,
  expectDrift,
  failingMigration,
  gatedMigration,
  killAll,
  openGate,
  quiet,
  rowsUp,
  rowsWentUp,
  runStates,
  waitingSessions,
} from '../support/audit.ts';
import { killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import type { Place } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { hurry, makeProject, rowsMigration, setMigration } from '../support/project.ts';

const timeout = 240_000;
const isLong = process.env['FAULTS_LONG'] === '1';

const args = ['--workers', '2', '--chunk-size', '50'];
const patient = { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000' };
const anotherHost = /^error: a: another host (?:has rolled|has started to roll) it back$/m;

it(
  'lets no chunk of `up` commit once `down` has begun on another host, and reverts what was done before',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const host = () => ({ cwd: makeProject({ 'a.ts': gatedMigration }).dir, url, env: patient });
      await closeGate(client);
      const up = start(['up', ...args], host());
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await until('chunks of up are under way', async () => (await waitingSessions(client)) >= 2);
      const down = start(['down', ...args], host());
      await until('down has begun', async () => (await runStates(client))[1] === 'a down running');
      const done = await rowsWentUp(client);
      await openGate(client);

      expectCode(await up.outcome, 3);
      expect((await up.outcome).stderr).toMatch(anotherHost);
      expect((await up.outcome).stderr).toMatch(/^ {2}hint: .*umzug-cluster (?:up|down --name a)$/m);
      expectCode(await down.outcome, 0);
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThan(auditedRows);
      await expectAllBack(client, done);
      expect(await runStates(client)).toEqual(['a up reverted', 'a down done']);
    });
  },
  timeout,
);

it(
  'takes half an `up` back while two hosts commit chunk after chunk of it, and they end with exit code 3',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const host = () => ({ cwd: makeProject({ 'a.ts': setMigration(0.2) }).dir, url });
      const ups = [1, 2].map(() => start(['up', '--workers', '2', '--chunk-size', '5'], host()));
      await until('rows are migrated', async () => (await rowsDone(client)) > 200);
      const down = await run(['down', ...args], host());
      expectCode(down, 0);
      for (const { outcome } of ups) {
        expectCode(await outcome, 3);
        expect((await outcome).stderr).toMatch(anotherHost);
      }
      const wentUp = await rowsWentUp(client);
      expect(wentUp).toBeLessThan(auditedRows);
      await expectAllBack(client, wentUp);
      expect(down.stdout).toContain(`a: ${wentUp.toLocaleString('en-US')} rows in`);
    });
  },
  timeout,
);

it(
  'refuses `up` after half a `down` with exit code 3 and the command that finishes it',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const later = `export const up = (db) => db.raw('create table later ()');`;
      const project = makeProject({ 'a.ts': rowsMigration(0.2) });
      const place = { cwd: project.dir, url };
      const quick = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
      hurry(quick.cwd);
      expectCode(await run(['up', '--workers', '1'], quick), 0);
      const killed = start(['down', ...args], place);
      await until('a part is back', async () => (await rowsUp(client)) < auditedRows);
      await killAll(client, killed);
      hurry(project.dir);
      const left = await rowsUp(client);
      expect(left).toBeGreaterThan(0);

      project.write('b.ts', later);
      // one host has no longer the file that is half back: what it has comes after it
      const without = { cwd: makeProject({ 'b.ts': later }).dir, url };
      const refusals = await Promise.all([
        run(['up'], place),
        run(['up', '--name', 'b'], place),
        run(['up'], without),
      ]);
      for (const refused of refusals) {
        expectCode(refused, 3);
        expect(refused.stderr).toMatch(/^error: a is being rolled back$/m);
      }
      expect(await rowsUp(client), 'nothing ran').toBe(left);
      expect((await client.query(`select to_regclass('later') as later`)).rows).toEqual([{ later: null }]);

      project.write('a.ts', `// changed ${rowsMigration(0.2)}`);
      const changed = await run(['down'], place);
      expectDrift(changed, []);
      expect(changed.stderr).toMatch(/^error: a was changed while its rollback is in progress$/m);
      expect(await rowsUp(client), 'nothing ran').toBe(left);

      project.write('a.ts', rowsMigration(0.2));
      const hint =
        /^ {2}hint: go forward again: umzug-cluster (.*), then umzug-cluster up;/m.exec(
          refusals[0].stderr,
        )?.[1] ?? '';
      expect(hint).toBe('down --name a');
      expectCode(await run(hint.split(' '), place), 0);
      await expectAllBack(client, auditedRows);
      expectCode(await run(['up'], place), 0);
      expect(await rowsUp(client)).toBe(auditedRows);
    });
  },
  timeout,
);

it(
  'lets three hosts begin the same `down` at once: all exit with 0, each row is reverted as often as it was migrated',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const host = () => ({ cwd: makeProject({ 'a.ts': rowsMigration(0.02) }).dir, url, env: patient });
      expectCode(await run(['up'], host()), 0);
      expectCode(await run(['up', '--name', 'a', '--rerun', 'ALLOW'], host()), 0);
      await client.query('begin; select from umzug_cluster.runs for update');
      const downs = [1, 2, 3].map(() => start(['down', ...args], host()));
      await until('all three begin', async () => (await waitingSessions(client)) >= 3);
      await client.query('commit');
      for (const { outcome } of downs) expectCode(await outcome, 0);
      const { rows } = await client.query(
        `select (select array_agg(distinct n) from counters) as n,
                (select count(*)::int from audit where n < was) as back`,
      );
      expect(rows).toEqual([{ n: [0], back: 2 * auditedRows }]);
    });
  },
  timeout,
);

it(
  'never takes a failed run up again that `down` is about to revert',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const host = () => ({ cwd: makeProject({ 'a.ts': failingMigration }).dir, url, env: patient });
      expectCode(await run(['up', '--workers', '1', '--chunk-size', '50'], host()), 1);
      const done = await rowsUp(client);
      expect(done).toBeGreaterThan(0);
      await client.query('create table missing ()');

      await client.query('begin; select from umzug_cluster.runs for update');
      const down = start(['down', ...args], host());
      await until('down waits for the run', async () => (await waitingSessions(client)) >= 1);
      const up = start(['up', ...args], host());
      await until('up waits, too', async () => (await waitingSessions(client)) >= 2);
      await client.query('commit');
      expectCode(await down.outcome, 0);
      // it is refused, or its turn came when all was back
      const { code, stderr } = await up.outcome;
      expect([0, 3], stderr).toContain(code);
      const { rows } = await client.query('select count(*)::int as n from audit where n < was');
      expect(rows, 'what was done is reverted').toEqual([{ n: done }]);
      expect(await rowsUp(client)).toBe(code === 0 ? auditedRows : 0);
    });
  },
  timeout,
);

/** What the ledger counts is what the table holds. */
async function expectAgreement(client: pg.Client, story: string): Promise<void> {
  if ((await runStates(client)).length === 0) return;
  const { rows } = await client.query(
    `select coalesce(sum(case r.direction when 'up' then p.rows else -p.rows end), 0)::int as up
     from umzug_cluster.runs as r join umzug_cluster.ranges as p on p.run_id = r.id`,
  );
  expect(rows, story).toEqual([{ up: await rowsUp(client) }]);
}

it(
  'keeps ledger and table in agreement while `up` and `down` are begun and killed at random on two hosts',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const hosts = [1, 2].map(() => ({ cwd: makeProject({ 'a.ts': rowsMigration(0.02) }).dir, url }));
      const changes = async (): Promise<number> =>
        Number((await client.query<{ n: string }>('select count(*) as n from audit')).rows[0]?.n);
      let story = '';
      /** Begins a command, and may kill it when so many rows have changed since. */
      const act = async (place: Place): Promise<void> => {
        const command = Math.random() < 0.5 ? 'up' : 'down';
        const killAt = Math.random() < 0.75 ? (await changes()) + Math.random() * auditedRows : null;
        story += `${command}${killAt === null ? '' : ', killed'}\n`;
        const running = start([command, ...args], place);
        let isOver = false;
        void running.outcome.then(() => (isOver = true));
        if (killAt !== null) {
          await until('it is time to kill', async () => isOver || (await changes()) >= killAt);
          killGroup(running.pid);
        }
        const { code, stderr } = await running.outcome;
        expect(killAt === null ? [0, 3] : [0, 3, null], `${story}${stderr}`).toContain(code);
      };
      for (let round = 0; round < (isLong ? 100 : 2); round += 1) {
        story += `round ${round}\n`;
        await Promise.all(hosts.map(act));
        await quiet(client);
        await expectAgreement(client, story);
      }
      const [place] = hosts as [Place];
      const isHalfDown = (await runStates(client)).includes('a down running');
      if (isHalfDown) expectCode(await run(['down'], place), 0);
      expectCode(await run(['up'], place), 0);
      expect(await rowsUp(client), story).toBe(auditedRows);
      expectCode(await run(['down'], place), 0);
      expect(await rowsUp(client), story).toBe(0);
    });
  },
  isLong ? 1_800_000 : timeout,
);
