import type pg from 'pg';
import { expect, it } from 'vitest';
import { type Place, childrenOf, killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

const args = ['up', '--workers', '2', '--chunk-size', '100'];
const allOnce = { n: [1], writes: counterRows };

async function counts(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select (select array_agg(distinct n) from counters) as n, (select count(*)::int from writes) as writes`,
  );
  return rows[0];
}

/** Gives `work` a database of counters and a project whose only migration sleeps in each chunk, until `hurry`. */
async function withRun(work: (client: pg.Client, place: Place) => Promise<void>): Promise<void> {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    await work(client, { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url });
  });
}

async function stateOf(place: Place): Promise<{ state: string; throttled: string | null; settings: object }> {
  const { stdout } = await run(['status', 'a', '--json'], place);
  const { migrations } = JSON.parse(stdout) as { migrations: never[] };
  return migrations[0] ?? Promise.reject(new Error(stdout));
}

async function begun(client: pg.Client): Promise<void> {
  await until('some rows are done', () => rowsDone(client));
}

it('pause holds a run on all its hosts, from a host without the file, until resume, across any number of up', async () => {
  await withRun(async (client, place) => {
    const hosts = [start(args, place), start(args, place)];
    await begun(client);
    const elsewhere = { ...place, cwd: makeProject({}).dir };
    const paused = await run(['pause', 'a'], elsewhere);
    expect(paused, paused.stderr).toMatchObject({ code: 0 });
    expect(paused.stdout).toMatch(/^a is paused until you resume it.*\n {2}resume: umzug-cluster resume a\n/);
    const done = await rowsDone(client);
    for (const { outcome } of hosts) {
      const { code, stderr } = await outcome;
      expect(code, stderr).toBe(5);
      expect(stderr).toMatch(/a was paused at \d+%, no work lost\n {2}by .* UTC\n.*umzug-cluster resume a/);
    }
    // No chunk of the old epoch was committed after the word was given.
    expect(await rowsDone(client)).toBe(done);
    expect(await stateOf(place)).toMatchObject({ state: 'paused' });
    expect(await run(['pause', 'a'], elsewhere)).toMatchObject({ code: 0 });
    hurry(place.cwd);
    for (const again of [args, ['up', '--no-join'], ['up', '--name', 'a']]) {
      const { code, stderr } = await run(again, place);
      expect(code, stderr).toBe(5);
      expect(stderr).toMatch(/^a was paused by \S+ on \S+ at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/m);
    }
    expect(await rowsDone(client)).toBe(done);
    expect(await run(['resume', 'a'], place)).toMatchObject({ code: 0 });
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('no word waits for a chunk that is under way, of this run or another, and none holds a lock that such a chunk needs', async () => {
  await withRun(async (client, place) => {
    const up = start(args, place);
    await begun(client);
    await run(['pause', 'a'], place);
    await up.outcome;
    // As long chunks do: of all ranges of this run, and past the last check of another run.
    await client.query(`begin; lock table umzug_cluster.runs in row share mode;
      select from umzug_cluster.ranges for update`);
    for (const verb of [
      ['resume', 'a', '--no-run'],
      ['pause', 'a'],
      ['resume', 'a', '--no-run'],
      ['cancel', 'a'],
    ]) {
      const said = await run(verb, place);
      expect(said.code, said.stderr).toBe(0);
    }
    await client.query('rollback');
    hurry(place.cwd);
    expect(await run(['resume', 'a'], place)).toMatchObject({ code: 0 });
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('a clock of the server that was set back by a day holds nobody', async () => {
  await withRun(async (client, place) => {
    const up = start([...args, '--pace', '1000'], place);
    await begun(client);
    killGroup(up.pid);
    await up.outcome;
    const later = `clock_timestamp() + interval '1 day'`;
    await client.query(`
      update umzug_cluster.ranges set touched_at = ${later}, next_try = ${later};
      update umzug_cluster.controls set paid_at = ${later}, free_at = ${later} + interval '1 second';
      update umzug_cluster.hosts set seen_at = ${later};
      update umzug_cluster.runs set started_at = ${later}`);
    hurry(place.cwd);
    const again = await run([...args, '--no-join', '--pace', '1000000'], place);
    expect(again.code, again.stderr).toBe(0);
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('resume works on it here, or only lifts the pause', async () => {
  await withRun(async (client, place) => {
    const up = start(args, place);
    await begun(client);
    await run(['pause', 'a'], place);
    await up.outcome;
    const lifted = await run(['resume', 'a', '--no-run', '--json'], place);
    const running = { name: 'a', direction: 'up', state: 'running', changed: true };
    expect(JSON.parse(lifted.stdout)).toEqual(running);
    await run(['pause', 'a'], place);
    hurry(place.cwd);
    const resumed = await run(['resume', 'a', '--workers', '2'], place);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stdout).toMatch(/^a: 20,000 rows/);
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('cancel stays so until somebody decides: up refuses, resume goes on, down takes it back', async () => {
  await withRun(async (client, place) => {
    const up = start(args, place);
    await begun(client);
    expect(await run(['cancel', 'a'], place)).toMatchObject({ code: 0 });
    expect((await up.outcome).stderr).toMatch(/a was cancelled at \d+%/);
    const again = await run(args, place);
    expect(again.code, again.stderr).toBe(5);
    expect(again.stderr).toMatch(/a was cancelled by [^]*resume a[^]*down --name a[^]*up --past a/);
    expect(await stateOf(place)).toMatchObject({ state: 'cancelled' });
    const before = await rowsDone(client);
    const resumed = start(['resume', 'a', '--chunk-size', '100'], place);
    await until('it goes on', async () => (await rowsDone(client)) > before);
    await run(['cancel', 'a'], place);
    expect((await resumed.outcome).code).toBe(5);
    hurry(place.cwd);
    const down = await run(['down'], place);
    expect(down.code, down.stderr).toBe(0);
    expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 0 }]);
    expect(await stateOf(place)).toMatchObject({ state: 'pending', rows: { done: 0 } });
  });
});

it('a rollback is paused and resumed too, and cannot be cancelled', async () => {
  await withRun(async (client, place) => {
    await run(['up', '--workers', '1', '--chunk-size', '5000'], place);
    const down = start(['down', '--workers', '1', '--chunk-size', '100'], place);
    await until('some rows are back', async () => {
      const { rowCount } = await client.query('select from counters where n = 0 limit 1');
      return rowCount;
    });
    const cancelled = await run(['cancel', 'a'], place);
    expect(cancelled.code).toBe(2);
    expect(cancelled.stderr).toMatch(/cannot be cancelled[^]*pause it: umzug-cluster pause a/);
    expect(await run(['pause', 'a'], place)).toMatchObject({ code: 0 });
    const { code, stderr } = await down.outcome;
    expect(code, stderr).toBe(5);
    expect(stderr).toContain('hint: resume: umzug-cluster resume a\n');
    expect((await run(['up'], place)).code).toBe(3);
    const held = await run(['down'], place);
    expect(held.code, held.stderr).toBe(5);
    expect(held.stderr).toMatch(/^the rollback of a was paused by /m);
    hurry(place.cwd);
    expect(await run(['resume', 'a', '--chunk-size', '5000'], place)).toMatchObject({ code: 0 });
    expect((await client.query('select distinct n from counters')).rows).toEqual([{ n: 0 }]);
  });
});

it('set changes size, workers and pace while the run goes on, and all of it outlives the hosts', async () => {
  await withRun(async (client, place) => {
    const up = start(['up', '--workers', '3', '--chunk-size', '20'], place);
    await until('workers are forked', () => childrenOf(up.pid).length === 2);
    const set = await run(['set', 'a', 'chunkSize=40', 'workers=1', 'pace=2000', '--json'], place);
    expect(JSON.parse(set.stdout)).toEqual({
      name: 'a',
      direction: 'up',
      settings: { chunkSize: 40, workers: 1, pace: 2000 },
    });
    await until('the others have left', () => childrenOf(up.pid).length === 0);
    up.child.kill('SIGKILL');
    await up.outcome;
    hurry(place.cwd);
    expect(await stateOf(place)).toMatchObject({ settings: { chunkSize: 40, workers: 1, pace: 2000 } });
    await run(['set', 'a', 'chunk-size=2000', 'pace=off', 'workers=default'], place);
    expect(await stateOf(place)).toMatchObject({ settings: { chunkSize: 2000, pace: null } });
    const chunks = async (): Promise<number> => {
      const { rows } = await client.query<{ n: number }>(
        'select sum(chunks)::int as n from umzug_cluster.ranges',
      );
      return rows[0]?.n ?? 0;
    };
    const before = await chunks();
    const rest = counterRows - (await rowsDone(client));
    expect(await run(['up', '--workers', '1', '--chunk-size', '20'], place)).toMatchObject({ code: 0 });
    // Ranges may be shorter than a chunk, but there were fifty times as many of the size that was asked for.
    expect((await chunks()) - before).toBeLessThan(rest / 100);
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('a pace holds over all hosts and lanes together, and nothing passes for a dead worker', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    const hosts = [1, 2].map(() => start(['up', '--workers', '2', '--pace', '4000'], place));
    await begun(client);
    const look = async (): Promise<{ rows: number; ms: number; openClaims: number }> => {
      const { rows } = await client.query<{ rows: number; ms: number; openClaims: number }>(
        `select sum(rows)::int as rows, max(open_claims)::int as "openClaims",
                (extract(epoch from clock_timestamp()) * 1000)::float8 as ms
         from umzug_cluster.ranges`,
      );
      return rows[0] ?? { rows: 0, ms: 0, openClaims: 0 };
    };
    const first = await look();
    const last = await until('a half is done', async () => {
      const now = await look();
      expect(now.openClaims).toBeLessThanOrEqual(2);
      return now.rows >= counterRows / 2 ? now : null;
    });
    // By the database's clock: one chunk may have been under way at either end.
    expect(((last.rows - first.rows - 2 * 2000) * 1000) / (last.ms - first.ms)).toBeLessThan(4000);
    // So slow that the run does not end meanwhile. It is said at once, not when the hosts have told.
    await run(['set', 'a', 'pace=50'], place);
    expect(await stateOf(place)).toMatchObject({ throttled: 'pace: at most 50 rows/s over all hosts' });
    await run(['set', 'a', 'pace=off'], place);
    for (const { outcome } of hosts) expect((await outcome).code).toBe(0);
    expect(await counts(client)).toEqual(allOnce);
  });
});

it('loses and repeats nothing, and takes no row for a bad one, however often it is paused and killed', async () => {
  await withRun(async (client, place) => {
    for (let round = 0; round < 3; round += 1) {
      const hosts = [start(args, place), start(args, place)];
      const before = await rowsDone(client);
      await until('it goes on', async () => (await rowsDone(client)) > before + 400);
      if (round === 1) hosts[0]?.child.kill('SIGKILL');
      await run(['pause', 'a'], place);
      // The hosts may still be at their last chunk, with the epoch of before the pause.
      await run(['resume', 'a', '--no-run'], place);
      await run(['set', 'a', `pace=${5_000 + round}`], place);
      for (const { outcome } of hosts) expect([5, null]).toContain((await outcome).code);
    }
    await run(['set', 'a', 'pace=off'], place);
    hurry(place.cwd);
    const { code, stderr } = await run(args, place);
    expect(code, stderr).toBe(0);
    expect(await counts(client)).toEqual(allOnce);
    expect((await client.query('select from umzug_cluster.quarantine')).rowCount).toBe(0);
    expect(
      (await client.query(`select from umzug_cluster.ranges where state = 'quarantined'`)).rowCount,
    ).toBe(0);
  });
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['pause', /pause needs a name/],
  ['pause b', /no known migration is named "b"/],
  ['pause fill', /fill has not started: there is nothing to pause/],
  ['resume fill --no-run', /fill has not started: there is nothing to resume/],
  ['pause done', /done is executed: there is nothing to pause/],
  ['cancel done', /done is executed: there is nothing to cancel\n.*down --name done/],
  ['resume done', /done is executed: there is nothing to resume/],
  ['set done pace=5', /done is executed: it has no run/],
  ['set fill pace=5', /fill has not started: it has no run/],
  ['set fill', /set needs a name and key=value/],
  ['set fill pace', /settings are written key=value: got "pace"/],
  ['set fill pace=50%', /pace must be a whole number from 1 to 100000000 \(rows\/s\): got "50%"/],
  ['set fill pace=0', /pace must be a whole number/],
  ['set fill pcae=5', /unknown setting "pcae", did you mean "pace"/],
  ['set fill lanes=5', /lanes cannot be changed during a run/],
  ['set fill pace=5 pace=6', /pace is given more than once/],
  ['set fill targetMs=61000', /targetMs must be a whole number from 1 to 60000/],
  ['set fill workers=off', /workers must be a whole number/],
];

it('answers what cannot be done with one message and exit code 2', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query('create table t (id int primary key); insert into t values (1)');
    const source = `export const select = (db) => db('t').select('id');
      export const update = (db) => db.raw('select 1');`;
    const place = { cwd: makeProject({ 'done.ts': source, 'fill.ts': source }).dir, url };
    const early = await run(['pause', 'fill'], place);
    expect(early.stderr).toMatch(/no started migration is named "fill"/);
    expect((await client.query(`select to_regnamespace('umzug_cluster')`)).rows).toEqual([
      { to_regnamespace: null },
    ]);
    await run(['up', '--to', 'done'], place);
    for (const [line, message] of refused) {
      const { code, stdout, stderr } = await run(line.split(' '), place);
      expect(stderr).toMatch(message);
      expect({ code, stdout }, line).toEqual({ code: 2, stdout: '' });
      expect(stderr.match(/error: /g)).toHaveLength(1);
    }
  });
});

it('paces a set-based migration by rows of its base table, not by keys or by rows of other tables', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(`
      create table t (id int primary key, n int not null);
      create table child (t_id int);
      insert into t select i, i % 5 from generate_series(1, 100) as i; analyze t`);
    // What each claim pays, as its statement has it: for a whole chunk, less what the one before had not used.
    const watching = `
      export const up = (db) => db.raw(\`
        create table turns (query text);
        create function note_turn() returns trigger language plpgsql as
          $$ begin insert into public.turns values (current_query()); return null; end $$;
        create trigger note_turn after update of free_at on umzug_cluster.controls
          for each row execute function note_turn()\`);`;
    const source = `
      import { setBased } from 'umzug-cluster';
      export const select = (db) => db('t').where('n', '>', 0);
      export const update = setBased(async (chunk, db) => {
        await db.raw('insert into child select c.id from ? c, generate_series(1, 3)', [chunk]);
        await chunk.update({ n: 0 });
      });`;
    const { dir } = makeProject({ '1.ts': watching, '2.ts': source });
    const env = { UMZUG_CLUSTER_LANES: '1' };
    const flags = ['--workers', '1', '--chunk-size', '10', '--pace', '1000'];
    const { code, stderr } = await run(['up', ...flags], { cwd: dir, url, env });
    expect(code, stderr).toBe(0);
    const { rows } = await client.query<{ unused: string; paid: string }>(
      `select distinct substring(query from 'free_at - ([0-9.]+) \\* interval') as unused,
         substring(query from '\\+ ([0-9.]+) \\* interval') as paid
       from turns order by 1`,
    );
    // Of each ten keys eight rows match.
    expect(rows).toEqual([
      { unused: '0', paid: '0.01' },
      { unused: '0.002', paid: '0.01' },
    ]);
  });
});
