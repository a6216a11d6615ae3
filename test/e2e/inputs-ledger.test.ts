import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type BadInput, itAnswers, runHere } from '../support/bad-input.ts';
import { run } from '../support/cli.ts';
import { type TestDatabase, withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const data = `
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) => db('t').whereIn('id', rows.map(({ id }) => id)).update({ n: 1 });`;
const schema = 'export const up = () => undefined;';
const executed = { 'migrations/1-schema.ts': schema, 'migrations/3-data.ts': data };

const tables = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, 100);
  analyze t`;

/** Has the two migrations executed. */
async function migrate({ url }: TestDatabase): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bad-input-before-'));
  try {
    mkdirSync(path.join(folder, 'migrations'));
    for (const [file, text] of Object.entries(executed)) writeFileSync(path.join(folder, file), text);
    const { code, stderr } = await runHere(['up', '--workers', '1'], folder, { DATABASE_URL: url });
    expect(code, stderr).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const said = (line: string, says: BadInput['says'], more: Partial<BadInput> = {}): BadInput => ({
  what: `umzug-cluster ${line}${more.what ?? ''}`,
  args: line,
  files: executed,
  url: (url) => url,
  says,
  ...(({ what: _what, ...rest }) => rest)(more),
});

describe('with two migrations executed', () => {
  itAnswers(
    [
      said('up --to 1-schema', [/no pending migration is named "1-schema"/]),
      said('up --to 3-dta', /no (pending|known) migration is named "3-dta"/),
      said('up --name 3-dta', [/no known migration is named "3-dta"/, /did you mean "3-data"\?/]),
      said('up --name 3-data.ts', [/3-data is already executed/, /--rerun SKIP or --rerun ALLOW/]),
      said('up --name migrations/3-data.ts', [/no known migration/, /did you mean "3-data"\?/]),
      said('up --name 3-DATA', /did you mean "3-data"\?/),
      said('up --name 3-data', [/3-data is already executed/, /--rerun SKIP or --rerun ALLOW/]),
      said('up', [/2-new is new but sorts before 3-data/, /--allow-out-of-order/], {
        what: ', a new file in between',
        exit: 3,
        files: { ...executed, 'migrations/2-new.ts': schema },
      }),
      said('up --strict', [/executed but missing: 1-schema/, /put the files? back/], {
        what: ', a file is gone',
        exit: 3,
        files: { 'migrations/3-data.ts': data },
      }),
      said('up --strict', /3-data.*changed|changed.*3-data/, {
        what: ', a file was changed',
        exit: 3,
        files: { ...executed, 'migrations/3-data.ts': `${data}\n// changed` },
      }),
      said('down --yes', [/3-data has no down/, /export down in /]),
      said('down --yes --to 0', /has no down/),
      said('down --yes --to 4-nope', /no executed migration is named "4-nope"/),
      said('down --yes --name 2-new', [/no executed migration is named "2-new"/], {
        what: ', which is pending',
        files: { ...executed, 'migrations/2-new.ts': schema },
      }),
      said('status 3-dta', [/no known migration is named "3-dta"/, /did you mean "3-data"\?/]),
      said('plan 3-dta', /no .*migration is named "3-dta"/),
      said('verify 3-dta', /no .*migration is named "3-dta"/),
      said('retry 3-dta', /no known migration is named "3-dta"/),
      said('repair 3-dta', /no .*migration is named "3-dta"/),
      said('pause 3-dta', /3-dta/),
      said('pause 3-data', /3-data/, { exit: 2 }),
      said('resume 3-data', /3-data/, { exit: 2 }),
      said('cancel 3-data', /3-data/, { exit: 2 }),
      said('set 3-data', /set needs|set NAME/),
      said('set 3-data chunkSize', /chunkSize/),
      said('set 3-data chunkSzie=5', /"chunkSzie", did you mean "chunkSize"/),
      said('set 3-data chunkSize=0', /chunkSize.*from 1 to 1000000/),
      said('set 3-data pace=NaN', /pace.*NaN/),
      said('set 3-data graceMs=5', /graceMs/),
      said('set 3-data chunkSize=5 chunkSize=6', /chunkSize/),
      said('baseline', /baseline/),
      said('baseline --to 9-nope', /9-nope/),
      said('baseline --from knex', /knex_migrations/),
      said('baseline --from knox', /--from must be one of knex, sequelize, umzug, node-pg-migrate, kysely/),
    ],
    tables,
    migrate,
  );
});

describe('a ledger is refused', () => {
  itAnswers(
    [
      said('up', [/version 99/, /umzug-cluster/], { what: ', of a newer version', exit: 3 }),
      said('status', /version 99/, { what: ', of a newer version', exit: 3 }),
    ],
    tables,
    async (database) => {
      await migrate(database);
      await database.client.query('update umzug_cluster.meta set version = 99');
    },
  );
});

describe('the ledger of another role', () => {
  it('is refused with the grants that are missing, which suffice', async () => {
    await withDatabase(async ({ url, client }) => {
      const role = `role_${randomBytes(6).toString('hex')}`;
      await client.query(`create table t (id int primary key, n int); insert into t values (1), (2);
        create role ${role} login password 'p'; grant select, update on t to ${role}`);
      const { dir, write } = makeProject({ 'a.ts': data });
      expect(await run(['up'], { cwd: dir, url })).toMatchObject({ code: 0 });
      write('b.ts', `${data} export const down = { select, update };`);
      const other = { cwd: dir, url: Object.assign(new URL(url), { username: role, password: 'p' }).href };
      const refused = await run(['up'], other);
      expect(refused.code, refused.stderr).toBe(2);
      expect(refused.stderr).toMatch(/^error: permission denied for schema umzug_cluster$/m);
      const granted = /or, as that role, run: (.*)$/m.exec(refused.stderr)?.[1];
      await client.query(String(granted));
      for (const args of [['up'], ['status'], ['down']]) {
        const { code, stderr } = await run(args, other);
        expect(code, stderr).toBe(0);
      }
      await client.query(`drop owned by ${role}; drop role ${role}`);
    });
  });
});

describe('tables of somebody else in the schema of the ledger', () => {
  itAnswers(
    [
      said(
        'up',
        [/schema "umzug_cluster" has tables that do not belong to a ledger: migrations, runs/, /schemaName/],
        {
          exit: 3,
        },
      ),
      said('status', /tables that do not belong to a ledger/, { exit: 3 }),
    ],
    `${tables}; create schema umzug_cluster; create table umzug_cluster.runs (id int); create table umzug_cluster.migrations (a int)`,
  );
});
