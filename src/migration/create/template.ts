import { place } from '../key/key.ts';
import { type DescribedTable, quoted } from '../table/described-table.ts';
import { type Language, exported, importLine, updatesRows } from './language.ts';

/** What a new file is a template for. */
export type TemplateKind = 'data' | 'set' | 'schema';

/** What a new file is made of. */
export interface TemplateInput {
  readonly kind: TemplateKind;
  /** Of the migration; the file's first line. */
  readonly name: string;
  readonly language: Language;
  /** Null: a table that is not there, so that nothing happens before the file is filled in. */
  readonly table: DescribedTable | null;
}

/** The text of a new migration file: it compiles, says what to fill in, and changes nothing before that. */
export function renderMigration(input: TemplateInput): string {
  const { kind, name, table } = input;
  const about = { ...input, table: table ?? unknownTable };
  const body = { data: dataBody, set: setBody, schema: schemaBody }[kind](about);
  return `// ${name}\n${body}`;
}

type Filled = TemplateInput & { readonly table: DescribedTable };

const unknownTable: DescribedTable = {
  written: 'my_table',
  columns: [
    { name: 'id', type: 'string', isNullable: false, isGenerated: false },
    { name: 'my_column', type: 'string', isNullable: true, isGenerated: false },
  ],
  key: ['id'],
  isKeyNamed: false,
};

const whichRows =
  '// Which rows: a query on one table, without limit, order or group. umzug-cluster does the chunking.';
const wayBack = `
// The way back; without it, \`down\` refuses. Its select reads the same table and key.
// export const down = { select: …, update: … };
`;

function dataBody({ language, table }: Filled): string {
  const { columns, written } = table;
  const target = targetOf(table);
  const value = `new${target.name.replaceAll(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9]?)/g, (_all, letter: string) => letter.toUpperCase())}`;
  const names = listed(columns.map(({ name }) => quoted(name)));
  const key = table.key.map((name) => `${property(name)}: ${member(name)}`).join(', ');
  const keys = table.key.map(quoted).join(', ');
  const condition = target.isNullable ? `\n    .whereNull(${quoted(target.name)})` : '';
  const row = language === 'ts' ? ': Row' : '';
  const returns = language === 'ts' ? `: ${nullable(target)}` : '';
  return `${importLine(language, ['updateRows'], ['Select', 'Update'])}${rowType(language, table)}${optionsFor(language, table)}${whichRows}
// Leave out the columns that update does not need.
${exported(language, 'select', 'Select<Row>', `(db) =>\n  db(${quoted(written)})\n    .select(${names})${condition}`)}
// What becomes of one row.
function ${value}(row${row})${returns} {
  throw new Error(\`not filled in yet: \${Object.keys(row).join(', ')}\`);
}

// One chunk of rows, in one statement. All that goes through db commits in one transaction with the chunk's progress.
${exported(
  language,
  'update',
  'Update<Row>',
  updatesRows({
    table: quoted(written),
    row: `${key}, ${property(target.name)}: ${value}(row)`,
    key: keys,
    set: quoted(target.name),
  }),
)}${back(language)}`;
}

function setBody({ language, table }: Filled): string {
  const target = targetOf(table);
  const column = target.name.replaceAll('"', '""');
  const condition = target.isNullable ? `.whereNull(${quoted(target.name)})` : '';
  return `${importLine(language, ['setBased'], ['Select'])}${optionsFor(language, table)}${whichRows}
${exported(language, 'select', 'Select', `(db) => db(${quoted(table.written)})${condition}`)}
// chunk is that query restricted to the chunk's rows; they never leave the database.
${exported(
  language,
  'update',
  null,
  `setBased((chunk, db) =>
  chunk.update({ ${property(target.name)}: db.raw(${quoted(`not_filled_in_yet("${column}")`)}) }),
)`,
)}${back(language)}`;
}

function schemaBody({ language, table }: Filled): string {
  const change = (what: string): string =>
    `(db) =>\n  db.schema.alterTable(${quoted(table.written)}, (table) => {\n    ${what}\n  })`;
  return `${importLine(language, [], ['SchemaStep'])}// Runs once, in a transaction together with its record.
${exported(language, 'up', 'SchemaStep', change("table.text('my_column');"))}
${exported(language, 'down', 'SchemaStep', change("table.dropColumn('my_column');"))}`;
}

// Beyond this a list goes over several lines.
const lineColumns = 80;

function listed(names: readonly string[]): string {
  const line = names.join(', ');
  return line.length <= lineColumns ? line : `\n${names.map((name) => `      ${name},\n`).join('')}    `;
}

/** The column that is most likely the one to fill: the first that may be null and be written. */
function targetOf({ columns, key }: DescribedTable): DescribedTable['columns'][number] {
  const writable = columns.filter(({ name, isGenerated }) => !isGenerated && !key.includes(name));
  return writable.find(({ isNullable }) => isNullable) ?? writable[0] ?? myColumn;
}

const myColumn = { name: 'my_column', type: 'string', isNullable: true, isGenerated: false };

function rowType(language: Language, { columns }: DescribedTable): string {
  if (language !== 'ts') return '';
  const lines = columns.map((column) => `  ${property(column.name)}: ${nullable(column)};\n`);
  return `interface Row {\n${lines.join('')}}\n\n`;
}

function nullable({ type, isNullable }: DescribedTable['columns'][number]): string {
  return isNullable && type !== 'unknown' ? `${type} | null` : type;
}

function optionsFor(language: Language, { key, isKeyNamed }: DescribedTable): string {
  if (key[0] === place.name)
    return '// There is no key: within a chunk, ctid identifies a row until it is updated.\n';
  if (!isKeyNamed) return '';
  const options = exported(language, 'options', null, `{ key: [${key.map(quoted).join(', ')}] }`);
  return `// There is no primary key: these columns are NOT NULL and unique.\n${options}\n`;
}

function back(language: Language): string {
  return language === 'cjs' ? wayBack.replace('export const down', 'exports.down') : wayBack;
}

const isPlainName = /^[A-Za-z_$][\w$]*$/;

function property(name: string): string {
  return isPlainName.test(name) ? name : quoted(name);
}

function member(name: string): string {
  return isPlainName.test(name) ? `row.${name}` : `row[${quoted(name)}]`;
}
