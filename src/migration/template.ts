import { fail } from '../errors.ts';
import { isMigrationFile, longestName } from './folder.ts';

/** What a new file is a template for. */
export type TemplateKind = 'data' | 'set' | 'schema';

/** The name of a new migration, as umzug's `create` makes it: `2025.05.18T22.04.04.name`. Throws USAGE. */
export function migrationName(input: {
  readonly name: string;
  readonly prefix: 'TIMESTAMP' | 'DATE' | 'NONE';
  readonly now: Date;
}): string {
  const slug = input.name.trim().replaceAll(/\s+/g, '-');
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(slug) || slug.includes('..')) {
    throw unusable(input.name, 'letters, digits, dots, dashes and underscores; no path');
  }
  // `x.ts` would become x.ts.ts, and the folder passes over x.test.ts and x.d.ts.
  if (isMigrationFile(slug) || !isMigrationFile(`${slug}.ts`)) {
    throw unusable(input.name, 'without an extension, and not the name of a test or a declaration file');
  }
  const iso = input.now.toISOString();
  const prefixes = {
    TIMESTAMP: `${iso.slice(0, 19).replaceAll(/[-:]/g, '.')}.`,
    DATE: `${iso.slice(0, 10).replaceAll('-', '.')}.`,
    NONE: '',
  };
  const name = prefixes[input.prefix] + slug;
  if (name.length > longestName)
    throw unusable(input.name, `at most ${longestName} characters, prefix included`);
  return name;
}

function unusable(name: string, detail: string): Error {
  return fail('USAGE', {
    message: `"${name}" cannot be the name of a migration`,
    detail,
    hint: 'for example: --name dated-to-date-given',
  });
}

/** The text of a new migration file: it type-checks and says what to fill in. */
export function renderMigration(kind: TemplateKind, name: string): string {
  return `// ${name}\n${templates[kind]}`;
}

const templates: Readonly<Record<TemplateKind, string>> = {
  data: `import type { Select, Update } from 'umzug-cluster';

interface Row {
  id: string;
}

// Which rows: a query on one table, without limit, order or group. The tool cuts the chunks.
export const select: Select<Row> = (db) => db('my_table').select('id').whereNull('my_column');

// What to do with one chunk of them. All that goes through db commits together with the chunk's mark.
export const update: Update<Row> = (db, rows) =>
  db('my_table')
    .whereIn(
      'id',
      rows.map((row) => row.id),
    )
    .update({ my_column: 'value' });

// The way back; without it, \`down\` refuses.
// export const down = { select, update };
`,
  set: `import { setBased } from 'umzug-cluster';
import type { Select } from 'umzug-cluster';

// Which rows: a query on one table, without limit, order or group. The tool cuts the chunks.
export const select: Select = (db) => db('my_table').whereNull('my_column');

// chunk is that query restricted to the chunk's rows; they never leave the database.
export const update = setBased((chunk) => chunk.update({ my_column: 'value' }));

// The way back; without it, \`down\` refuses.
// export const down = { select, update };
`,
  schema: `import type { SchemaStep } from 'umzug-cluster';

// Runs once, in a transaction together with its record.
export const up: SchemaStep = (db) =>
  db.schema.alterTable('my_table', (table) => {
    table.text('my_column');
  });

export const down: SchemaStep = (db) =>
  db.schema.alterTable('my_table', (table) => {
    table.dropColumn('my_column');
  });
`,
};
