import { createHash } from 'node:crypto';
import type pg from 'pg';
import { expect, it } from 'vitest';
import {
  auditedRows,
  closeGate,
  createAudited,
  expectCode,
  expectDrift,
  gatedMigration,
  killAll,
  openGate,
  rowsUp,
} from '../support/audit.ts';
import { type Outcome, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { hurry, makeProject, rowsMigration } from '../support/project.ts';

/** Hosts whose files, or what these mean, differ: one of them works, the others are refused with exit code 3. */

const timeout = 120_000;
const args = ['up', '--workers', '1', '--chunk-size', '100'];
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Writes down every process that takes a range up from now on, as `host:pid/token:lane`. */
const noteHolders = `
  create table public.holders (worker text not null);
  create function public.note_holder() returns trigger language plpgsql as
    $$ begin insert into public.holders values (new.worker); return null; end $$;
  create trigger note_holder after update of worker on umzug_cluster.ranges for each row
    when (new.worker is not null) execute function public.note_holder();`;

/** The processes that took a range up. */
async function holders(client: pg.Client): Promise<readonly number[]> {
  const { rows } = await client.query<{ worker: string }>('select distinct worker from public.holders');
  return [...new Set(rows.map(({ worker }) => Number.parseInt(worker.split(':').at(-2) ?? '', 10)))];
}

function expectDifference(outcome: Outcome, differs: string): void {
  expectCode(outcome, 3);
  expect(outcome.stderr).toContain(differs);
}

const changed = 'a was changed while its run is in progress';
const meansOther = 'a: select is not the query this run started with';

it(
  'refuses hosts with another file, other bindings or another table: exit 3, what differs, no range is theirs',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      await client.query('create schema second; create table second.counters (like counters including all)');
      const source = gatedMigration.replace(
        `db('counters').select('id')`,
        `db('counters').select('id').where('id', '>', Number(process.env.FROM_ID ?? 0))`,
      );
      const host = (file: string, schema = 'public', env: NodeJS.ProcessEnv = {}) => {
        const project = makeProject({ 'a.ts': file });
        project.write(
          '../knexfile.ts',
          `export default { client: 'pg', searchPath: ['${schema}', 'public'] };`,
        );
        return { cwd: project.dir, url, env: { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000', ...env } };
      };
      await closeGate(client);
      const first = start(args, host(source));
      await until('the first host works', async () => (await rowsDone(client)) > 0);
      await client.query(noteHolders);
      const other = `// another deployment ${source}`;
      const refused = [
        start(args, host(other)),
        start(args, host(source, 'public', { FROM_ID: '5' })),
        start(args, host(source, 'second')),
      ];
      const outcomes = await Promise.all(refused.map(({ outcome }) => outcome));
      const expected = [
        [changed, sha256(source), sha256(other)],
        [meansOther, 'its bindings differ'],
        [meansOther, 'it read public.counters, and now reads second.counters'],
      ];
      for (const [index, outcome] of outcomes.entries()) {
        const [message = '', ...differs] = expected[index] ?? [];
        if (index === 0) expectDrift(outcome, differs);
        else expectDifference(outcome, differs[0] ?? '');
        expect(outcome.stderr).toContain(`error: ${message}\n`);
      }
      await openGate(client);
      expectCode(await first.outcome, 0);
      // It may have taken all up before they were written down.
      expect((await holders(client)).filter((pid) => pid !== first.pid)).toEqual([]);
      expect(await rowsUp(client)).toBe(auditedRows);
    });
  },
  timeout,
);

it(
  'refuses to go on where the table or its key is another than when the run was killed: exit 3, what differs',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.2) }).dir, url };
      const killed = start(args, place);
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await killAll(client, killed);
      hurry(place.cwd);
      const done = await rowsUp(client);
      await client.query(noteHolders);
      const refusal = async (change: string, message: string, differs: string): Promise<void> => {
        await client.query(change);
        const outcome = await run(args, place);
        expectDifference(outcome, differs);
        expect(outcome.stderr).toContain(`error: ${message}`);
        expect(await holders(client)).toEqual([]);
      };
      await refusal(
        'alter table counters drop constraint counters_pkey, add primary key (id, n)',
        meansOther,
        'the key was (id), and is (id, n)',
      );
      await client.query('alter table counters drop constraint counters_pkey, add primary key (id)');
      await refusal(
        `alter table counters rename to earlier;
         create table counters (like earlier including all); insert into counters select * from earlier`,
        'public.counters was recreated since a ran',
        'public.counters: a',
      );
      await client.query('drop table counters; alter table earlier rename to counters');
      expect(await rowsUp(client), 'nothing was written').toBe(done);
      expectCode(await run(args, place), 0);
      expect(await rowsUp(client)).toBe(auditedRows);
    });
  },
  timeout,
);

it(
  'lets no worker run a file that was replaced since its host has read it: exit 3, both hashes',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      // a deployment in the middle of a run: the primary has read the file, its workers come later
      const source = `
        import cluster from 'node:cluster';
        import { appendFileSync } from 'node:fs';
        let isDeployed = process.env.DEPLOY === undefined;
        const deploy = () => {
          if (isDeployed || cluster.isWorker) return;
          isDeployed = true;
          appendFileSync('migrations/a.ts', '// deployed');
        };
        ${rowsMigration(0.3).replace('async (db, rows) => {', 'async (db, rows) => { deploy();')}`;
      const { dir } = makeProject({ 'a.ts': source });
      const up = start(['up', '--workers', '2', '--chunk-size', '50'], {
        cwd: dir,
        url,
        env: { DEPLOY: '1' },
      });
      await until('rows are migrated', async () => (await rowsDone(client)) > 0);
      await client.query(noteHolders);
      expectDrift(await up.outcome, [sha256(source), sha256(`${source}// deployed`)]);
      expect((await up.outcome).stderr).toContain(`error: ${changed}\n`);
      expect(await holders(client)).toEqual([up.pid]);
      // where the file of the run is, it goes on
      const other = { cwd: makeProject({ 'a.ts': source }).dir, url };
      hurry(other.cwd);
      expectCode(await run(['up', '--workers', '1'], other), 0);
      expect(await rowsUp(client)).toBe(auditedRows);
    });
  },
  timeout,
);

it(
  'puts no quarantined row back with another file while the run is in progress: exit 3, both hashes',
  async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(createAudited);
      // row 1 fails; every chunk waits at the gate but the first ones
      const source = gatedMigration.replace(
        'async (db, rows) => {',
        `async (db, rows) => { if (rows.some(({ id }) => Number(id) === 1)) throw new Error('bad');`,
      );
      const env = { UMZUG_CLUSTER_LOCK_TIMEOUT_MS: '60000' };
      await closeGate(client);
      const up = start(args, { cwd: makeProject({ 'a.ts': source }).dir, url, env });
      await until('the row is quarantined', async () => {
        if ((await rowsDone(client)) === 0) return false;
        return (await client.query('select from umzug_cluster.quarantine')).rowCount;
      });
      const mended = gatedMigration;
      const retry = await run(['retry', 'a'], { cwd: makeProject({ 'a.ts': mended }).dir, url });
      expectDrift(retry, [sha256(source), sha256(mended)]);
      await openGate(client);
      expectCode(await up.outcome, 1);
      const place = { cwd: makeProject({ 'a.ts': mended }).dir, url };
      expectCode(await run(['retry', 'a'], place), 0);
      expect(await rowsUp(client)).toBe(auditedRows);
    });
  },
  timeout,
);
