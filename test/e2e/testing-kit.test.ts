import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, inject, it, vi } from 'vitest';
import type { MigrationListReport, MigrationTestError } from 'umzug-cluster/testing';
import { testMigration } from 'umzug-cluster/testing';
import { makeProject } from '../support/project.ts';
import { failures, people, reported, secret, tested } from '../support/tested.ts';

// Some ten processes a test, one after the other.
vi.setConfig({ testTimeout: 180_000 });

describe('a migration that is right', () => {
  it('passes with set-based and draining code, verify, clock times and a knexfile that renames', async () => {
    const { dir } = makeProject({
      'a.ts': `
        import { setBased } from 'umzug-cluster';
        export const select = (db) => db('people').whereNull('seenAt');
        export const update = setBased((chunk, db) =>
          chunk.update({ oldScore: db.raw('score'), score: db.raw('score * 3'), seenAt: db.fn.now() }));
        export const verify = (db) => db('people').whereNull('seenAt');
        export const down = {
          select: (db) => db('people').whereNotNull('seenAt'),
          update: setBased((chunk, db) =>
            chunk.update({ score: db.ref('oldScore'), oldScore: null, seenAt: null })),
        };`,
    });
    writeFileSync(
      path.join(dir, 'knexfile.ts'),
      `const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
       export default { client: 'pg', migrations: { schemaName: 'our_ledger' },
         wrapIdentifier: (name: string, original: (name: string) => string) => original(snake(name)) };`,
    );
    const database = inject('serverUrl');
    const report = await testMigration({ cwd: dir, file: 'migrations/a.ts', seed: people, database });
    expect(report).toEqual({
      migration: 'a',
      rows: 21,
      chunkSize: 3,
      crashes: 3,
      idempotent: true,
      checks: ['up', 'check', 'verify', 'twice', 'chunks', 'resume', 'rollback', 'down'].map((name) =>
        name === 'check'
          ? { name, outcome: 'skipped', message: 'no check is given' }
          : { name, outcome: 'passed', message: null },
      ),
    });
  });

  it('may insert rows with generated keys, which differ from run to run', async () => {
    const report = await reported(
      `export const select = (db) => db('people').select('id', 'name').whereNull('slug');
       export const update = async (db, rows) => {
         for (const { id, name } of rows) {
           const [{ id: nick }] = await db('nicks').insert({ nick: name.toUpperCase() }).returning('id');
           await db('people').where({ id }).update({ slug: 's', place: nick });
         }
       };
       export const down = {
         select: (db) => db('people').select('id', 'place').whereNotNull('place'),
         update: async (db, rows) => {
           await db('people').whereIn('id', rows.map(({ id }) => id)).update({ place: null, slug: null });
           await db('nicks').whereIn('id', rows.map(({ place }) => place)).delete();
         },
       };`,
      {
        seed: [
          people,
          `create table nicks (id int generated always as identity primary key, nick text);
           alter table people add foreign key (place) references nicks`,
          { nicks: [{ id: 7, nick: 'first' }] },
          `create table kinds (id bigint primary key, day timestamptz, bytes bytea, doc jsonb, list int[], n int default 3)`,
          async (db) => await db('kinds').insert({ id: 1 }),
          {
            'public.kinds': [
              {
                id: 2n ** 60n,
                day: new Date(0),
                bytes: Buffer.from([0, 255]),
                doc: ['a', { b: null }],
                list: [1, 2],
                n: undefined,
              },
              { id: 3, n: null },
            ],
          },
        ],
        // It writes, too: nothing of that is compared.
        check: async (db) => {
          const { rows } = await db.raw('select kinds::text as kind from kinds order by id');
          expect(rows.map(({ kind }: { kind: string }) => kind)).toEqual([
            '(1,,,,,3)',
            '(3,,,,,)',
            expect.stringMatching(
              /^\(1152921504606846976,.*"\\\\x00ff","\[""a"", \{""b"": null\}\]","\{1,2\}",3\)$/,
            ),
          ]);
          await db('kinds').delete();
        },
      },
    );
    expect(failures(report)).toEqual({});
  });
});

describe('what is wrong with a migration is found and named', () => {
  it('rows that a second up changes again and that down does not bring back, without a value', async () => {
    const error = await tested(
      `export const select = (db) => db('people').select('id');
       export const update = (db, rows) =>
         db('people').whereIn('id', rows.map(({ id }) => id)).update({ score: db.raw('score * 3') });
       export const down = {
         select: (db) => select(db).whereNot('name', '${secret}'),
         update: async (db, rows) => {
           await db('people').whereIn('id', rows.map(({ id }) => id)).update({ name: '${secret}' });
           await db('people').insert({ name: '${secret}' });
         },
       };`,
    );
    const { name, message, code, report } = error as MigrationTestError;
    expect({ name, code }).toEqual({ name: 'MigrationTestError', code: 'MIGRATION_FAILED' });
    expect(report).toMatchObject({ rows: 21, idempotent: false });
    expect(message).toMatch(
      /^a: 2 of 8 checks failed\n {2}twice: a second up changes rows again\n +people: 21 rows differ in score: id = \(1\), \(2\), \(3\), …\n +hint: make select find only /,
    );
    expect(message).toMatch(
      /\n {2}down: after down the rows are not as they were before\n +people: 21 rows differ in name: id = \(1\), /,
    );
    expect(message).toMatch(
      /people: of the rows without a key of the seed, 0 are missing and [1-9]\d* are extra\n/,
    );
    expect(message).not.toContain(secret);
  });

  it('what a crash leaves behind: a count that began anew, and rows written beside db', async () => {
    const report = await reported(
      `import pg from ${JSON.stringify(path.resolve('node_modules/pg/lib/index.js'))};
       let last = 0;
       export const select = (db) => db('people').select('id');
       export const update = async (db, rows) => {
         const beside = new pg.Client(process.env.DATABASE_URL);
         await beside.connect();
         for (const { id } of rows) {
           await beside.query('insert into log values ($1)', [id]);
           await db('people').where({ id }).update({ place: (last += 1) });
         }
         await beside.end();
       };`,
      { seed: [people, 'create table log (person bigint)'], idempotent: false },
    );
    const { resume, ...others } = failures(report);
    expect(others).toEqual({});
    expect(resume).toMatch(/^after a kill -9 in the middle the result is different\n/);
    expect(resume).toMatch(/people: \d+ rows differ in place: id = /);
    expect(resume).toMatch(/log: of the rows without a key of the seed, 0 are missing and 3 are extra/);
    expect(report.idempotent).toBe(false);
    expect(report.checks.at(-1)).toEqual({ name: 'down', outcome: 'skipped', message: 'it exports no down' });
  });

  it('what a module remembers of a chunk that was rolled back', async () => {
    const report = await reported(
      `const seen = new Set();
       export const select = (db) => db('people').select('id', 'score').whereNull('place');
       export const update = async (db, rows) => {
         for (const { id, score } of rows) {
           const team = Number(score) % 2;
           if (!seen.has(team)) await db('teams').where({ id: team }).update({ used: true });
           seen.add(team);
           await db('people').where({ id }).update({ place: team });
         }
       };`,
      {
        seed: [
          people,
          'create table teams (id int primary key, used bool); insert into teams values (0), (1)',
        ],
      },
    );
    expect(failures(report)).toEqual({
      rollback: expect.stringMatching(
        /^after chunks were rolled back and tried again in the same process, .*\n +teams: [12] rows? differs? in used: [^]*context\.cache/,
      ),
    });
  });

  it('a result that depends on how the rows are cut into chunks', async () => {
    const report = await reported(
      `export const select = (db) => db('people').select('id').whereNull('place');
       export const update = async (db, rows) => {
         for (const [index, { id }] of rows.entries()) await db('people').where({ id }).update({ place: index });
       };`,
    );
    expect(failures(report)).toEqual({
      chunks: expect.stringMatching(
        /^the result depends on how the rows are split into chunks\n +people: \d+ rows differ in place: id = \(/,
      ),
    });
    expect(report.checks).toContainEqual({
      name: 'resume',
      outcome: 'skipped',
      message: 'cannot be checked while the result depends on the chunks',
    });
  });

  it('an update that fails, a select that finds nothing, a verify and a check that say no', async () => {
    const failing = `
      export const select = (db) => db('people').select('id');
      export const update = () => { throw new Error('no such luck'); };`;
    const { checks, ...report } = await reported(failing);
    expect(report).toMatchObject({ rows: 0, crashes: 0, idempotent: null });
    expect(checks[0]).toMatchObject({ name: 'up', outcome: 'failed' });
    expect(checks[0]?.message).toMatch(/no such luck[^]*fix a\.ts and run/);
    expect(checks.slice(1).every(({ outcome }) => outcome === 'skipped')).toBe(true);

    const none = `
      export const select = (db) => db('people').where('score', '>', 1000);
      export const update = (db, rows) => db('people').update({ slug: 's' });`;
    expect(failures(await reported(none))).toEqual({
      up: expect.stringMatching(/select finds none of the seeded rows/),
    });

    const half = `
      export const select = (db) => db('people').select('id').whereNull('slug').where('score', '<=', 10);
      export const update = (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ slug: 's' });
      export const verify = (db) => db('people').whereNull('slug');`;
    const no = new Error('eleven have no slug');
    const error = await tested(half, {
      check: async (db) => {
        if ((await db('people').whereNull('slug')).length > 0) throw no;
      },
    });
    const failed = failures((error as MigrationTestError).report ?? { ...report, checks: [] });
    expect(failed).toEqual({
      check: 'eleven have no slug',
      verify: expect.stringMatching(/11 rows are left/),
    });
    expect((error as Error).cause).toBe(no);
  });
});

// FAULTS_LONG=1: also a list that passes, as the one does that the guide shows.
const isLong = process.env['FAULTS_LONG'] === '1';

describe('several files', () => {
  const expand = `
    export const up = (db) => db.schema.alterTable('people', (t) => t.text('nick'));
    export const down = (db) => db.schema.alterTable('people', (t) => t.dropColumn('nick'));`;
  const fill = `
    export const select = (db) => db('people').select('id').whereNull('nick');
    export const update = (db, rows) =>
      db('people').whereIn('id', rows.map(({ id }) => id)).update({ nick: db.raw("coalesce(slug, 'n' || id)") });
    export const down = {
      select: (db) => db('people').select('id').whereNotNull('nick'),
      update: (db, rows) => db('people').whereIn('id', rows.map(({ id }) => id)).update({ nick: null }),
    };`;
  const files = ['migrations/1-expand.ts', 'migrations/2-fill.ts', 'migrations/3-contract.ts'] as const;
  const database = inject('serverUrl');

  it.runIf(isLong)(
    'run after each other, each data migration with its crashes, and back to where they began',
    async () => {
      const { dir } = makeProject({
        '1-expand.ts': expand,
        '2-fill.ts': fill,
        '3-contract.ts': `
        export const up = async (db) => {
          await db.raw('alter table people alter column nick set not null');
          await db.raw('alter table people drop column slug');
        };
        export const down = async (db) => {
          await db.raw('alter table people alter column nick drop not null');
          await db.raw('alter table people add column slug text');
          await db.raw("update people set slug = nick where nick not like 'n%'");
        };`,
      });
      const report = await testMigration({
        cwd: dir,
        files,
        seed: [people, "update people set slug = 's' || id where id > 10"],
        database,
        check: async (db) => {
          expect(await db('people').whereIn('id', [7, 12]).orderBy('id').pluck('nick')).toEqual([
            'n7',
            's12',
          ]);
        },
      });
      expect(report).toEqual({
        migrations: [
          expect.objectContaining({ migration: '2-fill', rows: 21, crashes: 3, idempotent: true }),
        ],
        checks: ['up', 'check', 'down'].map((name) => ({ name, outcome: 'passed', message: null })),
      });
    },
  );

  it('that lose something on the way back, or rows that came between two of them', async () => {
    const { dir } = makeProject({
      '1-expand.ts': expand,
      '2-fill.ts': fill,
      '3-contract.ts': `
        export const up = (db) => db.raw('alter table people drop column slug');
        export const down = (db) => db.raw('alter table people add column slug text');`,
    });
    const [first, ...others] = files;
    const between = { people: [{ id: 99, name: 'x', slug: 'kept', nick: 'mine' }] };
    const error = (await testMigration({
      cwd: dir,
      files: [first, { seed: between }, ...others],
      seed: people,
      database,
    }).catch((caught: unknown) => caught)) as MigrationTestError<MigrationListReport>;
    expect(error.message).toMatch(
      /^2-fill: 1 of 8 checks failed\n {2}down: .*\n.*1 row differs in nick: id = \(99\)/,
    );
    expect(error.message).toMatch(
      /\nall files together: 1 of 3 checks failed\n {2}down: after all files .*\n.*1 row differs in slug: id = \(99\)/,
    );
    expect(error.report?.migrations.map(({ migration, rows }) => [migration, rows])).toEqual([
      ['2-fill', 21],
    ]);
  });
});
