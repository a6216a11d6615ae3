import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { type BadInput, itAnswers, secret } from '../support/bad-input.ts';
import { file, own, select, tables, update } from '../support/bad-files.ts';

/** A folder that is prepared. */
const folder = (
  what: string,
  says: BadInput['says'],
  prepare: (migrations: string) => void,
  args = 'up',
): BadInput => ({
  what,
  args,
  url: own,
  prepare: (project) => {
    mkdirSync(path.join(project, 'migrations'));
    prepare(path.join(project, 'migrations'));
  },
  says,
});

describe('a migration file is refused', () => {
  itAnswers(
    [
      file(
        'with a syntax error',
        'export const a = 1;\nexport const select = (;',
        /^error: 0007_x\.ts:2:\d+ syntax error/m,
      ),
      file(
        'of Kysely',
        'export async function up(db: Kysely<any>): Promise<void> { await db.schema.dropTable("t").execute(); }',
        /0007_x\.ts is a migration of Kysely, which umzug-cluster does not run[^]*baseline --from kysely/,
      ),
      {
        ...file(
          'that imports a file with a syntax error',
          `import './parts/a'; ${select} ${update}`,
          /parts\/a\.ts:1:\d+, imported by 0007_x\.ts syntax error/,
        ),
        files: {
          'migrations/0007_x.ts': `import './parts/a'; ${select} ${update}`,
          'migrations/parts/a.ts': 'const = 1;',
        },
      },
      file(
        'that imports a missing module',
        `import 'lodahs';\n${select} ${update}`,
        /0007_x\.ts: cannot find module 'lodahs'/,
      ),
      file(
        'that imports a missing file',
        `import './helpres.ts';\n${select} ${update}`,
        /0007_x\.ts: cannot find module .*helpres/,
      ),
      file(
        'that throws',
        `throw new Error('no luck with postgres://u:${secret}@h/d');`,
        /0007_x\.ts threw while loading: no luck/,
      ),
      file(
        'that throws undefined',
        `throw undefined;`,
        /0007_x\.ts threw while loading: non-Error: undefined/,
      ),
      file('that ends the process', `process.exit(0);`, [/0007_x/, /process/], { exit: 1 }),
      file(
        'that exports nothing',
        'const a = 1;',
        /0007_x\.ts must export select\(db\) and update\(db, rows\), or up\(db\)/,
      ),
      file('that is empty', '', /0007_x\.ts must export/),
      file('with only a default', 'export default () => 1;', [/0007_x\.ts must export/, /found: default/]),
      file('without select', update, /0007_x\.ts does not export select/),
      file('without update', select, /0007_x\.ts does not export update/),
      file(
        'with a select that is no function',
        `export const select = 'select 1'; ${update}`,
        /0007_x\.ts: select is not a function[^]*of type string/,
      ),
      file('with a slip', `export const slect = 1; ${update}`, /did you mean "select"/),
      file(
        'of umzug and of this tool at once',
        `${select} ${update} export const up = () => 1;`,
        /exports both up and select\/update/,
      ),
      file(
        'with a slip in its options',
        `${select} ${update} export const options = { chunkSzie: 5 };`,
        /unknown option "chunkSzie", did you mean "chunkSize"/,
      ),
      file(
        'with options out of range',
        `${select} ${update} export const options = { chunkSize: 0 };`,
        /chunkSize must be .*from 1 to 1000000/,
      ),
      file(
        'with NaN in its options',
        `${select} ${update} export const options = { targetMs: NaN };`,
        /targetMs must be/,
      ),
      file('with a key that is no list', `${select} ${update} export const options = { key: {} };`, /key/),
      file(
        'that requires a tool that is not known',
        `${select} ${update} export const options = { requires: ['knex:1_a', 'flyway:V1__a'] };`,
        /options\.requires must be 'TOOL:NAME' or a list of them.*TOOL is one of knex, /,
      ),
      file('with options that are no object', `${select} ${update} export const options = 5;`, /options/),
      {
        ...file('in CommonJS of an ES module', '', /0007_x\.js must export|0007_x\.js/),
        files: { 'package.json': '{"type":"module"}', 'migrations/0007_x.js': 'exports.nothing = 1;' },
      },
      file('with a byte-order mark and binary text', '\ufeff\u0000\u0001', /0007_x\.ts/),
      folder('that is unreadable', /cannot read 0007_x\.ts|0007_x\.ts/, (at) => {
        writeFileSync(path.join(at, '0007_x.ts'), '');
        chmodSync(path.join(at, '0007_x.ts'), 0);
      }),
      folder('that is a folder', /a\.ts is named like a migration but is not a file/, (at) =>
        mkdirSync(path.join(at, 'a.ts')),
      ),
      folder('that is a broken link', /cannot read a\.ts/, (at) =>
        symlinkSync('/nowhere', path.join(at, 'a.ts')),
      ),
      folder(
        'that is a link out of the folder',
        /a\.ts is a link to a place outside the migrations folder/,
        (at) => symlinkSync('/etc/hostname', path.join(at, 'a.ts')),
      ),
      folder('that is there twice', /two files are the same migration: a\.js and a\.ts/, (at) => {
        for (const name of ['a.ts', 'a.js']) writeFileSync(path.join(at, name), select + update);
      }),
      folder('with a line break in its name', /a migration file has an unusable name[^]*rename/, (at) =>
        writeFileSync(path.join(at, 'a\nerror: b.ts'), select + update),
      ),
      folder('with a terminal’s commands in its name', /a migration file has an unusable name/, (at) =>
        writeFileSync(path.join(at, 'a\u001b[2J.ts'), select + update),
      ),
      folder(
        'with a mark that turns text around in its name',
        /a migration file has an unusable name/,
        (at) => writeFileSync(path.join(at, 'a\u202eb.ts'), select + update),
      ),
      folder('with a name that is too long', /a migration file has an unusable name[^]*at most 200/, (at) =>
        writeFileSync(path.join(at, `${'x'.repeat(201)}.ts`), select + update),
      ),
    ],
    tables,
  );
});

describe('the folder of the migrations is refused', () => {
  itAnswers(
    [
      {
        what: 'that is not there',
        url: own,
        says: [/cannot read the migrations folder .*migrations$/m, /create it, or give another/],
      },
      {
        what: 'that --migrations names and is not there',
        args: 'up --migrations nope',
        url: own,
        says: /cannot read the migrations folder .*\/nope/,
      },
      {
        what: 'that is a file',
        files: { migrations: '' },
        url: own,
        says: /cannot read the migrations folder/,
      },
      {
        what: 'that holds migrations of Prisma',
        files: { 'migrations/20260101_init/migration.sql': '', 'migrations/a.ts': select + update },
        url: own,
        says: /^error: 20260101_init is a migration of Prisma[^]*migrations\.cluster\.directory/,
      },
      {
        what: 'that holds migrations of Drizzle',
        args: 'plan',
        files: {
          'migrations/0000_x.sql': '',
          'migrations/meta/_journal.json': '{ "entries": [{ "idx": 0, "when": 1, "tag": "0000_x" }] }',
        },
        url: own,
        says: /^error: 0000_x\.sql is a migration of Drizzle[^]*migrations\.cluster\.directory/,
      },
      { what: 'in status', args: 'status', url: own, says: /cannot read the migrations folder/ },
      {
        what: 'that --migrations gives as a file',
        args: 'up --migrations migrations/a.ts',
        files: { 'migrations/a.ts': select + update },
        url: own,
        says: /cannot read the migrations folder/,
      },
    ],
    tables,
  );
});
