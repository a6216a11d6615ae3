import type pg from 'pg';
import { expect, it } from 'vitest';
import { type Outcome, run, start } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { recordsIn } from '../support/log-records.ts';
import { makeProject } from '../support/project.ts';

const canary = 'canary-5b1f';
const number = '77788899900011';

const table = `
  create table people (
    id int primary key, secret text not null, big text not null, n int, label text unique,
    check (n is distinct from -1));
  insert into people (id, secret, big, label)
    select i, '${canary}', '${number}', case i when 1 then '${canary}' end from generate_series(1, 40) as i;
  create table later (label text unique deferrable initially deferred);
  create function refuse() returns trigger language plpgsql as $$ begin
    if new.n = -2 then
      raise exception 'refused by the trigger' using detail = new.secret, hint = new.secret, errcode = '22023';
    end if;
    return new;
  end $$;
  create trigger refuse before update on people for each row execute function refuse();
  analyze people;`;

const migration = (update: string, select = `db('people').select('id', 'secret', 'big')`): string => `
  import { setBased, updateRows } from 'umzug-cluster';
  export const select = (db) => ${select};
  const all = (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id));
  export const update = ${update};
  export const down = { select, update };`;

const cast = `all(db, rows).update({ n: db.raw('secret::int') })`;
const labels = `rows.map(({ secret: label }) => ({ label }))`;
const numbers = `rows.map(({ id, secret: n }) => ({ id, n }))`;

/** Author code whose error quotes a row's value somewhere, and what must be said all the same. */
const leaks: readonly [what: string, source: string, said: RegExp][] = [
  ['a cast', migration(`(db, rows) => ${cast}`), /type integer/],
  [
    'a cast of a set',
    migration(`setBased((chunk, db) => chunk.update({ n: db.raw('big::int') }))`),
    /out of range/,
  ],
  [
    'a cast in select',
    migration(`(db, rows) => all(db, rows)`, `db('people').whereRaw('secret::int = 1')`),
    /type integer/,
  ],
  [
    'a unique key',
    migration(`(db, rows) => all(db, rows).update({ label: rows[0].secret })`),
    /people_label_key/,
  ],
  ['a check', migration(`(db, rows) => all(db, rows).update({ n: -1 })`), /people_n_check/],
  ['a null', migration(`(db, rows) => all(db, rows).update({ secret: null })`), /column .*secret/],
  ['a trigger', migration(`(db, rows) => all(db, rows).update({ n: -2 })`), /refused by the trigger/],
  ['a deferred key', migration(`(db, rows) => db('later').insert(${labels})`), /later_label_key/],
  [
    'a pasted literal',
    migration(`(db, rows) => db.raw("select '" + rows[0].secret + "', 1 / 0")`),
    /select '…'/,
  ],
  [
    'updateRows',
    migration(`(db, rows) => updateRows(db, 'people', ${numbers}, { key: ['id'], set: ['n'] })`),
    /type integer/,
  ],
  ['a swallowed error', migration(`(db, rows) => ${cast}.catch(() => undefined)`), /caught a SQL error/],
  ['a forgotten await', migration(`async (db, rows) => { ${cast}.then(() => undefined); }`), /await|syntax/],
  [
    'a schema migration',
    `export const up = (db) => db.raw('select secret::int from people');`,
    /type integer/,
  ],
];

// FAULTS_LONG=1: each leak in each way of speaking, by a process of its own; else each in one of them, and only those
// that say all they can by such a process. And all commands after three of the failures; else after one of them.
const isLong = process.env['FAULTS_LONG'] === '1';

const flags: readonly (readonly string[])[] = [
  [],
  ['--verbose', '--log-level', 'debug'],
  ['--json', '--verbose', '--log-format', 'json'],
];

/** Commands that show something of a run that failed, or go on with it. */
const lookers = [
  ['status', '--json'],
  ['status', 'a'],
  ['verify', '--json', '--verbose'],
  ['validate', '--json'],
  ['retry', 'a', '--log-format', 'json', '--log-level', 'debug', '--verbose'],
  ['down', '--name', 'a', '--verbose', '--log-format', 'json'],
] as const;

function expectNothingSecret({ stdout, stderr }: Outcome, password: string): void {
  for (const secret of [canary, number, password]) expect(stdout + stderr).not.toContain(secret);
}

/** All texts that the ledger holds. */
async function ledgerTexts(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ text: string }>(
    `select concat((select json_agg(r) from umzug_cluster.runs as r),
                   (select json_agg(r) from umzug_cluster.ranges as r),
                   (select json_agg(q) from umzug_cluster.quarantine as q)) as text`,
  );
  return rows[0]?.text ?? '';
}

it.each(
  leaks.map(
    (leak, index) =>
      [...leak, isLong ? flags : flags.filter((_, no) => no === index % flags.length)] as const,
  ),
)('shows no value of a row where %s fails, and keeps the message', async (what, source, said, ways) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const { password } = new URL(url);
    expect(password).not.toBe('');
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    for (const more of ways) {
      const up = ['up', '--workers', '1', '--chunk-size', '10', ...more];
      // what nothing awaits is the process's
      const isOwn = isLong || more.includes('debug') || what.includes('await');
      const outcome = await (isOwn ? start(up, place).outcome : run(up, place));
      expect(outcome.code, outcome.stderr).not.toBe(0);
      expect(outcome.stdout + outcome.stderr).toMatch(said);
      expectNothingSecret(outcome, password);
      expectNothingSecret(await run(['status', '--json'], place), password);
      if (more.includes('--log-format')) recordsIn(outcome.stderr);
    }
    if (source.includes('const up =')) return;
    expect(await ledgerTexts(client)).not.toMatch(new RegExp(`${canary}|${number}`));
  });
});

it.each(leaks.filter(([what]) => (isLong ? /check|trigger|deferred/ : /trigger/).test(what)))(
  'shows no value of a row in any other command after %s failed, nor in the log of plan',
  async (_what, source, said) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const { password } = new URL(url);
      const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
      // its sample is for eyes: on stdout alone
      const plan = await run(['plan', '--verbose', '--log-format', 'json', '--log-level', 'debug'], place);
      expectNothingSecret({ ...plan, stdout: '' }, password);
      recordsIn(plan.stderr);
      const failed = await run(['up', '--workers', '1', '--chunk-size', '10'], place);
      expect(failed.stderr).toMatch(said);
      for (const args of lookers) expectNothingSecret(await run([...args], place), password);
    });
  },
);

it('shows what an author throws as it is', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const source = migration(`() => { throw new Error('price "free" of row: 12 is not a price'); }`);
    const outcome = await run(['up'], { cwd: makeProject({ 'a.ts': source }).dir, url });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toContain('price "free" of row: 12 is not a price');
  });
});
