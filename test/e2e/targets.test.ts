import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { expect, it } from 'vitest';
import { type Outcome, type Place, killGroup, run, start, until } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { runInProcess } from '../support/in-process.ts';
import { hurry, makeProject, rowsMigration } from '../support/project.ts';

const rows = 200;

const addColumn = `
  export const up = (knex) => knex.schema.alterTable('counters', (table) => table.integer('m'));
  export const down = (knex) => knex.schema.alterTable('counters', (table) => table.dropColumn('m'));`;
const fill = `
  export const select = (db) => db('counters').select('id').whereNull('m');
  export const update = (db, rows) =>
    db('counters').whereIn('id', rows.map(({ id }) => id)).update({ m: db.raw('n * 10') });
  export const down = {
    select: (db) => db('counters').select('id'),
    update: (db, rows) => db('counters').whereIn('id', rows.map(({ id }) => id)).update({ m: null }),
  };`;

/** Tables of a tenant, in its schema. */
async function tenant(client: pg.Client, schema: string): Promise<void> {
  await client.query(`
    create schema if not exists ${schema};
    create table ${schema}.counters (id bigint primary key, n int not null default 0);
    insert into ${schema}.counters (id) select generate_series(1, ${rows})`);
}

/** A project whose knexfile has these targets. */
function projectOf({ url }: TestDatabase, targets: string, files: Readonly<Record<string, string>>): Place {
  const { dir: cwd } = makeProject(files);
  writeFileSync(
    path.join(cwd, 'knexfile.cjs'),
    `module.exports = { client: 'pg', connection: ${JSON.stringify(url)},
      migrations: { cluster: { targets: ${targets} } } };`,
  );
  return { cwd, url: null };
}

/** How often each row of a tenant was migrated, as `n` or what is given says. */
async function visits(client: pg.Client, schema: string, column = 'n'): Promise<unknown> {
  const found = await client.query(
    `select ${column} as n, count(*)::int as rows from ${schema}.counters group by 1`,
  );
  return found.rows;
}

interface Document {
  readonly targets: readonly {
    readonly target: string;
    readonly state: string;
    readonly migrations?: readonly { readonly name: string; readonly state?: string }[];
    readonly error: { readonly code: string; readonly message: string } | null;
  }[];
  readonly error?: { readonly code: string; readonly message: string; readonly detail: string | null };
}

const documentOf = ({ stdout }: Outcome): Document => JSON.parse(stdout) as Document;
const statesIn = (outcome: Outcome): unknown =>
  Object.fromEntries(documentOf(outcome).targets.map(({ target, state }) => [target, state]));

it('two databases and two schemas of one are migrated and rolled back by one command, each with its own ledger', async () => {
  await withDatabase((one) =>
    withDatabase(async (other) => {
      await tenant(one.client, 'public');
      for (const schema of ['tenant_a', 'tenant_b', 'unlike']) await tenant(other.client, schema);
      const targets = `async () => [{ name: 'main', connection: ${JSON.stringify(one.url)} },
        { connection: ${JSON.stringify(other.url)}, schemas: 'tenant\\\\_%' }]`;
      const files = { '1-n.ts': rowsMigration(), '2-m.ts': addColumn, '3-fill.ts': fill };
      const place = projectOf(one, targets, files);
      const up = await run(['up', '--json'], place);
      expect(up.code, up.stderr).toBe(0);
      expect(statesIn(up)).toEqual({ main: 'done', tenant_a: 'done', tenant_b: 'done' });
      expect(documentOf(up).targets.map(({ migrations }) => migrations?.map(({ name }) => name))).toEqual(
        Array.from({ length: 3 }, () => ['1-n', '2-m', '3-fill']),
      );
      expect(await visits(one.client, 'public', 'm')).toEqual([{ n: 10, rows }]);
      for (const schema of ['tenant_a', 'tenant_b'])
        expect(await visits(other.client, schema, 'm')).toEqual([{ n: 10, rows }]);
      expect(await visits(other.client, 'unlike')).toEqual([{ n: 0, rows }]);
      const { rows: ledgers } = await other.client.query(
        `select nspname || '.' || relname as name from pg_class join pg_namespace as n on n.oid = relnamespace
         where relname like '%meta' order by 1`,
      );
      expect(ledgers.map(({ name }) => name as string)).toEqual([
        'tenant_a.umzug_cluster_meta',
        'tenant_b.umzug_cluster_meta',
      ]);

      const again = await run(['up'], place);
      expect(again.stdout).toBe('3 targets: nothing is pending\n3 of 3 targets done\n');
      expect((await run(['status'], place)).stdout).toMatch(/^tenant_b +3 +0 +400/m);
      const status = documentOf(await run(['status', '--json', '--targets', 'tenant_*'], place));
      expect(
        status.targets.map(({ target, migrations }) => [target, migrations?.map(({ state }) => state)]),
      ).toEqual([
        ['tenant_a', ['executed', 'executed', 'executed']],
        ['tenant_b', ['executed', 'executed', 'executed']],
      ]);
      expect((await run(['history', '--limit', '2'], place)).stdout).toMatch(
        /^target +at .*\n(?:main|tenant_[ab]) /,
      );
      expect((await run(['verify', '3-fill'], place)).stdout).toContain(
        'tenant_b: 3-fill  data  no rows left\n',
      );

      // A tenant takes its ledger with it: made again, it is migrated again.
      await other.client.query('drop schema tenant_a cascade');
      await tenant(other.client, 'tenant_a');
      expect(statesIn(await run(['up', '--json', '--targets', 'tenant_a'], place))).toEqual({
        tenant_a: 'done',
      });
      expect(await visits(other.client, 'tenant_a', 'm')).toEqual([{ n: 10, rows }]);

      const asked = await runInProcess(['down', '--to', '0'], place.cwd, {}, 'y\n');
      expect(asked.stderr).toContain(`  1-n: in 3 targets, 600 rows that up has migrated\n`);
      expect(asked.code, asked.stderr).toBe(0);
      for (const [client, schema] of [
        [one.client, 'public'],
        [other.client, 'tenant_a'],
        [other.client, 'tenant_b'],
      ] as const)
        expect(await visits(client, schema)).toEqual([{ n: 0, rows }]);
    }),
  );
});

it('a target that fails leaves the others alone, and `up` again has that one to do', async () => {
  await withDatabase(async (db) => {
    for (const schema of ['t_a', 't_b', 't_c']) await tenant(db.client, schema);
    await db.client.query('alter table t_b.counters add check (n < 1)');
    const place = projectOf(db, `{ schemas: 't\\\\_%' }`, { '1-n.ts': rowsMigration() });
    const canary = await run(['up', '--json', '--targets-first', '1', '--targets', 't_b,t_c'], place);
    expect(canary.code).toBe(1);
    expect(statesIn(canary)).toEqual({ t_b: 'failed', t_c: 'skipped' });
    expect(documentOf(canary).error?.message).toBe('of 2 targets, 1 failed, 1 not started');
    expect(await visits(db.client, 't_c')).toEqual([{ n: 0, rows }]);

    const up = await run(['up'], place);
    expect(up.code).toBe(1);
    expect(up.stdout).toContain('2 of 3 targets done, 1 failed\n');
    expect(up.stderr).toMatch(/^error: t_b: 1-n, /m);
    for (const schema of ['t_a', 't_c']) expect(await visits(db.client, schema)).toEqual([{ n: 1, rows }]);
    expect((await run(['status'], place)).stdout).toMatch(/^t_b +0 +0 +0 +1 failed$/m);

    await db.client.query('alter table t_b.counters drop constraint counters_n_check');
    const retried = await run(['retry', '1-n'], place);
    const fixed = retried.code === 0 ? await run(['up', '--json'], place) : retried;
    expect(fixed.code, fixed.stderr).toBe(0);
    for (const schema of ['t_a', 't_b', 't_c'])
      expect(await visits(db.client, schema)).toEqual([{ n: 1, rows }]);
  });
});

it('kill -9 in the middle, a second host and Ctrl-C leave each row of each target migrated once', async () => {
  await withDatabase(async (db) => {
    const schemas = ['t_a', 't_b', 't_c', 't_d'];
    for (const schema of schemas) await tenant(db.client, schema);
    const files = { '1-n.ts': rowsMigration(0.2) };
    const place = projectOf(db, `{ schemas: 't\\\\_%' }`, files);
    const sum = async (): Promise<number> => {
      const all = schemas.map((schema) => `select n from ${schema}.counters`).join(' union all ');
      const { rows: found } = await db.client.query(`select sum(n)::int as done from (${all}) as t`);
      return found[0]?.done as number;
    };
    const slowly = ['up', '--chunk-size', '20', '--targets-at-once', '2', '--json'];
    const killed = start(slowly, place);
    await until('rows are migrated', async () => (await sum()) > 0);
    killGroup(killed.pid);
    await killed.outcome;
    const before = await sum();
    expect(before).toBeLessThan(rows * schemas.length);

    const two = [start(slowly, place), start(slowly, place)] as const;
    await until('both continue', async () => (await sum()) > before);
    process.kill(two[0].pid, 'SIGINT');
    const stopped = await two[0].outcome;
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(Object.values(statesIn(stopped) as object)).toContain('stopped');
    hurry(place.cwd);
    const ended = await two[1].outcome;
    expect(ended.code, ended.stderr).toBe(0);
    for (const schema of schemas) expect(await visits(db.client, schema)).toEqual([{ n: 1, rows }]);
    expect((await run(['up'], place)).stdout).toContain('4 targets: nothing is pending\n');
  });
});

it('a word to a run is said in each target that has it, and a table that all share is refused', async () => {
  await withDatabase(async (db) => {
    for (const schema of ['t_a', 't_b']) await tenant(db.client, schema);
    await tenant(db.client, 'public');
    const place = projectOf(db, `[{ schema: 't_a' }, { schema: 't_b' }]`, { '1-n.ts': rowsMigration(0.2) });
    const slow = start(['up', '--chunk-size', '20', '--targets', 't_a', '--json'], place);
    await until('rows are migrated', async () => {
      const found = await db.client.query('select from t_a.counters where n > 0');
      return found.rows.length > 0;
    });
    const paused = await run(['pause', '1-n'], place);
    expect(paused.code, paused.stderr).toBe(0);
    expect(paused.stdout).toContain('t_a:\n  1-n is paused');
    expect(await slow.outcome).toMatchObject({ code: 5 });
    expect((await run(['up', '--json'], place)).code).toBe(5);
    hurry(place.cwd);
    expect(await run(['resume', '1-n'], place)).toMatchObject({ code: 0 });
    expect(await visits(db.client, 't_a')).toEqual([{ n: 1, rows }]);

    const shared = rowsMigration().replaceAll(
      `db('counters').select`,
      `db.withSchema('public').from('counters').select`,
    );
    const other = projectOf(db, `[{ schema: 't_a' }, { schema: 't_b' }]`, { '2-shared.ts': shared });
    const refused = await run(['up', '--targets', 't_b'], other);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('"public"."counters", which is not in the schema "t_b" of this target');
    expect(await visits(db.client, 'public')).toEqual([{ n: 0, rows }]);

    const none = projectOf(db, `{ schemas: 'customer\\\\_%' }`, {});
    const empty = await run(['up'], none);
    expect(empty.code).toBe(2);
    expect(empty.stderr).toContain('there is no target');
    const missing = projectOf(db, `[{ schema: 't_z' }]`, { '1-m.ts': addColumn });
    const unknown = await run(['up'], missing);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('there is no schema "t_z"');
    const plain = { cwd: makeProject({}).dir, url: db.url };
    expect((await run(['up', '--targets', 'a'], plain)).stderr).toContain(
      '--targets: knexfile.ts has no targets',
    );
    expect((await run(['up', '--fail-fast'], plain)).stderr).toContain(
      '--fail-fast: the knexfile has no targets',
    );
  });
});

it('up --wait, status --watch and plan --html cover all targets', async () => {
  await withDatabase(async (db) => {
    const schemas = ['t_a', 't_b', 't_c'];
    for (const schema of schemas) await tenant(db.client, schema);
    const files = { '1-n.ts': rowsMigration(), '2-m.ts': addColumn, '3-fill.ts': fill };
    const place = projectOf(db, `{ schemas: 't\\\\_%' }`, files);

    const planned = await runInProcess(['plan', '--json', '--html', 'plan.html'], place.cwd, {});
    expect(planned.code, planned.stderr).toBe(0);
    expect(statesIn(planned)).toEqual({ t_a: 'done', t_b: 'done', t_c: 'done' });
    const page = readFileSync(path.join(place.cwd, 'plan.html'), 'utf8');
    expect(page.match(/<h1>.*?<\/h1>/g)).toEqual(
      schemas.map((schema) => expect.stringMatching(`schema ${schema}</h1>$`) as string),
    );
    expect(page.match(/<dt>After<\/dt><dd>2-m<\/dd>/g)).toHaveLength(3);

    const stopped = start(['up', '--wait'], place);
    await stopped.says(/t_c: 1-n: waiting for another host/);
    process.kill(stopped.pid, 'SIGINT');
    expect(await stopped.outcome).toMatchObject({ code: 130, stderr: expect.stringMatching(/ up --wait; /) });

    const waiting = start(['up', '--wait', '--json'], place);
    const watching = start(['status', '--watch', '--json'], place);
    let shown = '';
    watching.child.stdout?.on('data', (data) => (shown += String(data)));
    const seen = (states: readonly string[]) => (): boolean => {
      const last = shown.trimEnd().split('\n').at(-1) ?? '';
      return (
        last.endsWith('}') &&
        (JSON.parse(last) as Document).targets.every(
          ({ migrations = [] }) => migrations.map(({ state }) => state).join() === states.join(),
        )
      );
    };
    await until('all are pending', seen(['pending', 'pending', 'pending']));
    const up = await runInProcess(['up', '--json'], place.cwd, {});
    expect(up.code, up.stderr).toBe(0);
    const waited = await waiting.outcome;
    expect(waited.code, waited.stderr).toBe(0);
    expect(statesIn(waited)).toEqual({ t_a: 'done', t_b: 'done', t_c: 'done' });
    await until('all are executed', seen(['executed', 'executed', 'executed']));
    process.kill(watching.pid, 'SIGINT');
    expect((await watching.outcome).code).toBe(0);
  });
});
