import { type Language, exported, importLine, updatesRows } from './language.ts';

/** A complete answer to a task that is frequent: migrations that work as they stand on the recipe's own tables. */
export interface Recipe {
  /** For the help of `create`. */
  readonly describe: string;
  /** The table where none is named. */
  readonly table: string;
  /** It is for keys of several columns, too: those of a partitioned table are such. */
  readonly takesKeys?: true;
  readonly steps: (about: About) => readonly Step[];
  /** It also works on a table without a key, of which `About` says that its key is `ctid`. */
  readonly isForKeyless?: true;
  readonly test: (about: About) => RecipeTest;
}

/** What the texts of a recipe are made with. */
export interface About {
  readonly language: Language;
  readonly table: string;
  /** The column that identifies a row. */
  readonly key: string;
  /** All of them, for a recipe that takes several. */
  readonly keys?: readonly string[];
}

/** One migration of a recipe. */
export interface Step {
  /** What the name of its file ends with. */
  readonly suffix: string;
  readonly text: string;
  /** A data migration; the others change the schema. */
  readonly isData?: boolean;
}

/** Tables and rows on which the last data migration of a recipe can be tried. */
export interface RecipeTest {
  readonly schema: string;
  /** JavaScript: rows by table. */
  readonly seed: string;
  /** The schema has what the migrations before would make, since they look at rows that are not seeded yet. */
  readonly isAlone?: boolean;
  /** What stands before the test; JavaScript. */
  readonly before?: string;
  /** Columns that have other values in each run. */
  readonly ignore?: readonly string[];
  /** A query of one row and one column: true once the migration is done. */
  readonly isDone: string;
}

/** A schema migration: of a text of statements each way, or of statements that are sent one by one. */
export function schemaStep(language: Language, { comment, up, down, isAlone = false }: SchemaText): string {
  const options = isAlone ? exported(language, 'options', null, '{ transaction: false }') : '';
  const step = (sql: string | readonly string[]): string =>
    typeof sql === 'string'
      ? `(db) => db.raw(\`${sql}\`)`
      : `async (db) => {\n${sql.map((one) => `  await db.raw('${one}');\n`).join('')}}`;
  return `${importLine(language, [], ['SchemaStep'])}${commented(comment)}${options}${exported(language, 'up', 'SchemaStep', step(up))}
${exported(language, 'down', 'SchemaStep', step(down))}`;
}

interface SchemaText {
  readonly comment: string;
  readonly up: string | readonly string[];
  readonly down: string;
  /** Outside of a transaction: each statement has its lock for itself, and may be run twice. */
  readonly isAlone?: boolean;
}

/** The migration that adds a column. */
export function addColumn(
  { language, table }: About,
  { column, comment }: { readonly column: string; readonly comment: string },
): Step {
  const [name] = column.split(' ');
  const up = `alter table ${table} add column ${column}`;
  return {
    suffix: 'expand',
    text: schemaStep(language, { comment, up, down: `alter table ${table} drop column ${name}` }),
  };
}

/** The migration that makes a column unique. */
export function uniqueIndex({ language, table }: About, column: string): Step {
  const name = `${table}_${column}`;
  const text = schemaStep(language, {
    comment: 'Outside of a transaction: it does not lock the table.',
    up: `create unique index concurrently if not exists ${name} on ${table} (${column})`,
    down: `drop index concurrently if exists ${name}`,
    isAlone: true,
  });
  return { suffix: 'index', text };
}

/** The way back of a column that was filled. */
export function emptied({ table }: About, column: string): NonNullable<SetText['down']> {
  return {
    select: `db('${table}').whereNotNull('${column}')`,
    update: `chunk.update({ ${column}: null })`,
  };
}

/** Rows of a recipe's test, in which each has these values beside its key; JavaScript. */
export function seeded({ table, key }: About, values: string): string {
  return `{ ${table}: Array.from({ length: 20 }, (_, no) => ({ ${key}: no, ${values} })) }`;
}

/** A data migration by rows, which computes one column from another. */
export function rowStep(about: About, { imports = '', reads, sets, value, functions }: RowText): string {
  const { language, table, key } = about;
  const type = language === 'ts' ? `type Row = { ${key}: number; ${reads}: string };\n\n` : '';
  const parts = [
    imports,
    importLine(language, ['setBased', 'updateRows'], ['Select', 'Update']),
    type,
    `${functions}\n\n`,
    exported(
      language,
      'select',
      'Select<Row>',
      `(db) =>\n  db('${table}').select('${key}', '${reads}').whereNull('${sets}').whereNotNull('${reads}')`,
    ),
    '\n',
    exported(
      language,
      'update',
      'Update<Row>',
      updatesRows({
        table: `'${table}'`,
        row: `${key}: row.${key}, ${sets}: ${value}`,
        key: `'${key}'`,
        set: `'${sets}'`,
      }),
    ),
    `\n${exported(language, 'down', null, wayBack(language, emptied(about, sets)))}`,
  ];
  return parts.join('');
}

interface RowText {
  /** Lines of other modules. */
  readonly imports?: string;
  readonly reads: string;
  readonly sets: string;
  /** Of `row`. */
  readonly value: string;
  readonly functions: string;
}

/** A set-based data migration. */
export function setStep(
  language: Language,
  { comment, options, select, update, verify, down }: SetText,
): string {
  const parts = [
    importLine(language, ['setBased'], ['Select']),
    commented(comment),
    options === undefined ? '' : `${exported(language, 'options', null, options)}\n`,
    `${exported(language, 'select', 'Select', `(db) => ${select}`)}\n`,
    exported(language, 'update', null, bySets(update)),
    verify === undefined ? '' : `\n${exported(language, 'verify', 'Select', `(db) => ${verify}`)}`,
    down === undefined ? '' : `\n${exported(language, 'down', null, wayBack(language, down))}`,
  ];
  return parts.join('');
}

interface SetText {
  readonly comment: string;
  readonly options?: string;
  readonly select: string;
  readonly update: string;
  readonly verify?: string;
  readonly down?: { readonly select: string; readonly update: string };
}

function bySets(update: string): string {
  const isBlock = update.startsWith('{');
  return `setBased(${isBlock ? 'async ' : ''}(chunk${/\bdb[.(]/.test(update) ? ', db' : ''}) => ${update})`;
}

function wayBack(language: Language, { select, update }: NonNullable<SetText['down']>): string {
  const typed = language === 'ts' ? `((db) => ${select}) as Select` : `(db) => ${select}`;
  return `{\n  select: ${typed},\n  update: ${bySets(update)},\n}`;
}

function commented(text: string): string {
  return text
    .split('\n')
    .map((line) => `// ${line}\n`)
    .join('');
}

/** The test of a recipe's last data migration, with node:test. */
export function testText(
  { language, files }: { readonly language: Language; readonly files: readonly string[] },
  { schema, seed, isDone, isAlone = false, ignore, before }: RecipeTest,
): string {
  const quotedFiles = files.map((file) => `'${file}'`);
  const [earlier, file] = [isAlone ? [] : quotedFiles.slice(0, -1), quotedFiles.at(-1)];
  const imports =
    language === 'cjs'
      ? `const assert = require('node:assert/strict');\nconst { test } = require('node:test');\nconst { testMigration } = require('umzug-cluster/testing');\n`
      : `import assert from 'node:assert/strict';\nimport { test } from 'node:test';\nimport { testMigration } from 'umzug-cluster/testing';\n`;
  return `${imports}${before === undefined ? '' : `\n${before}\n`}
test('rows are migrated, though processes are killed', { timeout: 120_000 }, async () => {
  await testMigration({
    file: ${file},${earlier.length === 0 ? '' : `\n    earlier: [${earlier.join(', ')}],`}
    schema: \`${schema}\`,
    seed: ${seed},${ignore === undefined ? '' : `\n    ignore: ['${ignore.join("', '")}'],`}
    database: process.env.TEST_DATABASE_URL, // unset: a server of its own
    check: async (db) => {
      const { rows } = await db.raw(\`${isDone}\`);
      assert.deepEqual(rows, [{ done: true }]);
    },
  });
});
`;
}
