import { describe, expect, it } from 'vitest';
import { writtenFor } from '../../src/migration/file/other-tools.ts';

describe('a file that was written for another tool is recognized', () => {
  it.each([
    ['umzug', `async function up({ context: queryInterface }) {} module.exports = { up };`],
    ['umzug', `export const up: Migration = async ({ context: sequelize }) => {};`],
    ['umzug', `export const up = async ({ name, context }) => { await context.query('x'); };`],
    ['umzug', `export const up: MigrationFn<Client> = async (params) => {};`],
    ['umzug', `exports.up = async params => { await params.context.query('x'); };`],
    ['umzug', `export async function up(params: MigrationParams<Knex>) { await run(params); }`],
    ['kysely', `export async function up(db: Kysely<any>): Promise<void> {}`],
    ['kysely', `export const up = async (database: kysely.Kysely<Database>) => {};`],
    [
      'kysely',
      `export async function up(db) { await db.schema.createTable('t').addColumn('a', 'text').execute(); }`,
    ],
    ['kysely', `exports.up = async (k) => { await k\n.updateTable('t')\n.set({ a: 1 })\n.execute() }`],
    ['node-pg-migrate', `exports.shorthands = undefined;\nexports.up = (pgm) => {};`],
    ['node-pg-migrate', `export async function up(builder: MigrationBuilder): Promise<void> {}`],
    ['node-pg-migrate', `export const up = pgm => { pgm.sql('select 1'); };`],
    [
      'sequelize',
      `module.exports = { async up (queryInterface, Sequelize) {}, async down(queryInterface) {} };`,
    ],
    ['sequelize', `module.exports = { up: function (query, DataTypes) {} };`],
    ['sequelize', `export default { up: async (qi: QueryInterface) => {} };`],
    ['typeorm', `export class A1700000000000 implements MigrationInterface { async up(q: QueryRunner) {} }`],
    [
      'typeorm',
      `module.exports = class A1 { name = 'A1'; async up(queryRunner) {} async down(queryRunner) {} };`,
    ],
    ['mikroorm', `class Migration1 extends Migration { async up() { this.addSql('select 1'); } }`],
    [
      'mikroorm',
      `import { Migration } from '@mikro-orm/migrations'; export class A extends Migration { up() {} }`,
    ],
  ])('%s: %s', (tool, source) => {
    expect(writtenFor(source)?.tool).toBe(tool);
  });

  it.each([
    `exports.up = function (knex, Promise) { return knex.schema.createTable('t', (t) => t.increments()); };`,
    `export async function up(knex: Knex): Promise<void> { await knex.raw('select 1'); }`,
    `export const up: SchemaStep = (db) => db.schema.alterTable('t', (t) => { t.text('context'); });`,
    `export const up = ({ schema, raw }) => schema.createTable('t', (t) => t.json('context'));`,
    `export const up = async (db) => { const { context } = await db('t').first(); await db('u').insert({ context }); };`,
    `module.exports = { up: (db) => db.raw('select lookup()'), down: () => null };`,
    `// was: up({ context: queryInterface })\nexport const up = (db) => db.raw('select 1');`,
    `/* export async function up(db: Kysely<any>) {} */ export const up = (db) => db.raw('select 1');`,
    `export const up = async (db) => { const k = new Kysely({ dialect: over(db.schema) }); await k.insertInto('t').execute(); };`,
    `export const up = async (db) => { await job.execute(); await db('t').update({ a: 1 }); };`,
    `import { QueryInterface } from 'sequelize'; export const up = (db) => db.raw('select 1');`,
    `class A extends Migration {} export const up = (db) => new A().run(db);`,
    `export const up = (db) => db.raw("select 'https://example.org/up({ context })'");`,
  ])('and an ordinary one is not: %s', (source) => {
    expect(writtenFor(source)).toBeNull();
  });
});
