/** How a project writes its modules: TypeScript, or JavaScript with `import` or with `require`. */
export type Language = 'ts' | 'esm' | 'cjs';

/** The first line of a file, with what it needs of this package; types are for TypeScript alone. */
export function importLine(language: Language, values: readonly string[], types: readonly string[]): string {
  if (language === 'cjs') {
    return values.length === 0 ? '' : `const { ${values.join(', ')} } = require('umzug-cluster');\n\n`;
  }
  const wanted = language === 'ts' ? [...values, ...types.map((type) => `type ${type}`)] : values;
  if (wanted.length === 0) return '';
  const names = values.length === 0 && language === 'ts' ? types : wanted;
  const keyword = values.length === 0 && language === 'ts' ? 'import type' : 'import';
  return `${keyword} { ${names.join(', ')} } from 'umzug-cluster';\n\n`;
}

/** `export const select: Select<Row> = …`; `type` null: the expression says it. */
export function exported(language: Language, name: string, type: string | null, expression: string): string {
  if (language === 'cjs') return `exports.${name} = ${expression};\n`;
  const annotation = language === 'ts' && type !== null ? `: ${type}` : '';
  return `export const ${name}${annotation} = ${expression};\n`;
}

/** An `update` that passes its rows to `updateRows`; each part as code: `row` the fields of one, `key` and `set` names. */
export function updatesRows({
  table,
  row,
  key,
  set,
}: Readonly<Record<'table' | 'row' | 'key' | 'set', string>>): string {
  return `(db, rows) =>
  updateRows(
    db,
    ${table},
    rows.map((row) => ({ ${row} })),
    { key: [${key}], set: [${set}] },
  )`;
}
