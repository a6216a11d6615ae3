import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fieldsOf } from '../../core/values/fields.ts';
import type { OtherTool } from '../../core/values/other-tools.ts';
import { type UmzugClusterError, fail } from '../../errors.ts';

/** What gives away that a file was written for another tool. */
interface Sign {
  readonly tool: OtherTool;
  readonly label: string;
  /** What of the file only that tool understands. */
  readonly what: string;
}

const umzug: Sign = { tool: 'umzug', label: 'umzug', what: 'its up takes umzug’s { context }' };
const kysely: Sign = { tool: 'kysely', label: 'Kysely', what: 'its up takes a database of Kysely' };
const pgMigrate: Sign = { tool: 'node-pg-migrate', label: 'node-pg-migrate', what: 'its up takes pgm' };
const sequelize: Sign = { tool: 'sequelize', label: 'Sequelize', what: 'its up takes queryInterface' };
const typeorm: Sign = { tool: 'typeorm', label: 'TypeORM', what: 'it has a class with up(queryRunner)' };
const mikroorm: Sign = { tool: 'mikroorm', label: 'MikroORM', what: 'it has a class that extends Migration' };

const comment = /\/\*[^]*?\*\/|(?<!:)\/\/.*$/gm;
const text = /(['"])(?:\\.|(?!\1)[^\\\n])*\1/g;
// `up(…)` of an object or a class, `function up(…)`, `up = async (…) =>`, `up: Type = function (…)`, `up = x => …`.
const definition =
  /\bup\b\s*(?::\s*(?<type>\w[\w.<>, ]*?)\s*)?(?:[=:]\s*)?(?:async\b\s*)?(?:function\b\s*\w*\s*)?(?:\((?<list>[^)]*)\)|(?<one>\w+)\s*=>)/g;

/** By the parameters of `up` and the type that is written for it; the first that fits. */
const byParameters: readonly (readonly [RegExp, Sign])[] = [
  [/^\s*\{[^}]*\bcontext\b|\bMigrationParams\b/, umzug],
  [/:\s*(?:\w+\.)?Kysely\b/, kysely],
  [/^\s*pgm\b|:\s*(?:\w+\.)?MigrationBuilder\b/, pgMigrate],
  [/^\s*queryInterface\b|:\s*(?:\w+\.)?QueryInterface\b|,\s*(?:Sequelize|DataTypes)\b/, sequelize],
  [/^\s*_?queryRunner\b|:\s*(?:\w+\.)?QueryRunner\b/, typeorm],
];

/** The tool for which a source was written; null: none of which that can be seen. */
export function writtenFor(source: string): Sign | null {
  const code = source.replaceAll(comment, '');
  if (/\bclass\s+\w*\s*extends\s+(?:\w+\.)?Migration\b/.test(code) && /\baddSql\b|@mikro-orm\//.test(code)) {
    return mikroorm;
  }
  if (/\bimplements\s+(?:\w+\.)?MigrationInterface\b/.test(code)) return typeorm;
  for (const { groups } of code.replaceAll(text, '').matchAll(definition)) {
    const parameters = groups?.['list'] ?? groups?.['one'] ?? '';
    if (/\b(?:MigrationFn|UmzugMigration|RunnableMigration)\b/.test(groups?.['type'] ?? '')) return umzug;
    const [, sign] = byParameters.find(([pattern]) => pattern.test(parameters)) ?? [];
    if (sign !== undefined) return sign;
    const [, first] = /^\s*(\w+)/.exec(parameters) ?? [];
    if (first === undefined) continue;
    if (new RegExp(`\\b${first}\\.context\\b`).test(code)) return umzug;
    const builds = new RegExp(
      `\\b${first}\\s*\\.\\s*(?:schema|insertInto|updateTable|deleteFrom|selectFrom)\\b`,
    );
    // knex runs a query that is awaited, and has no execute; whoever makes a Kysely on top of it needs db all the same.
    if (builds.test(code) && /\.execute\(\s*\)/.test(code) && !/\bnew Kysely\b/.test(code)) return kysely;
  }
  return null;
}

/** Throws MIGRATION_FILE for the file of another tool: knex would run it wrongly, or half of it. */
export function refuseOtherTool(file: string, source: string): void {
  const sign = writtenFor(source);
  if (sign === null) return;
  throw notOurs(path.basename(file), sign, sign.what);
}

/**
 * Throws MIGRATION_FILE where a folder holds what Prisma or Drizzle would run: it is not run from here, and whoever has
 * put it there may take it for done.
 */
export function refuseOtherFolders(folders: readonly string[]): void {
  for (const folder of folders) {
    const prisma = readdirSync(folder)
      .toSorted()
      .find((entry) => existsSync(path.join(folder, entry, 'migration.sql')));
    if (prisma !== undefined) {
      throw notOurs(prisma, { tool: null, label: 'Prisma' }, `${folder} has a migration.sql for it`);
    }
    const journal = path.join(folder, 'meta', '_journal.json');
    const first = readJournal(journal).find(({ tag }) => existsSync(path.join(folder, `${tag}.sql`)));
    if (first === undefined) continue;
    throw notOurs(`${first.tag}.sql`, { tool: null, label: 'Drizzle' }, `${journal} lists it`);
  }
}

/** A migration of Drizzle: its name, and the time that Drizzle records for it. */
interface JournalEntry {
  readonly tag: string;
  readonly when: string;
}

/** What drizzle-kit lists in a journal; none where there is no such file. */
export function readJournal(file: string): readonly JournalEntry[] {
  try {
    const { entries } = fieldsOf(JSON.parse(readFileSync(file, 'utf8')));
    return (Array.isArray(entries) ? entries : [])
      .map(fieldsOf)
      .map(({ tag, when }) => ({ tag: String(tag), when: String(when) }));
  } catch {
    return [];
  }
}

function notOurs(
  name: string,
  { tool, label }: { readonly tool: OtherTool | null; readonly label: string },
  detail: string,
): UmzugClusterError {
  const takeOver =
    tool === null
      ? ''
      : `; or, where ${label} has executed it, take its record over: umzug-cluster baseline --from ${tool}`;
  return fail('MIGRATION_FILE', {
    message: `${name} is a migration of ${label}, which umzug-cluster does not run`,
    detail,
    hint: `leave it to ${label}, and give data migrations a folder of their own: migrations.cluster.directory in the knexfile, or --migrations DIR${takeOver}`,
  });
}
