import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

/** How the migration of a benchmark changes its rows. */
export type Style = 'rows' | 'set' | 'values' | 'cpu';

const select = `(db) => db('properties').select('id', 'property_date_type').where('property_date_type', 'dated')`;

/**
 * A body of `(id) => text` with a fixed amount of work, about 100 µs: a clock would run while another process has the
 * core.
 */
export const transformation = `
    let x = id.charCodeAt(0);
    for (let n = 0; n < 100_000; n += 1) x = Math.imul(x ^ n, 2_654_435_761);
    return x === 0 ? 'date-given ' : 'date-given';`;

const updates: Readonly<Record<Style, string>> = {
  rows: `(db, rows) => db('properties')
    .whereRaw('id = any (?)', [rows.map((row) => row.id)])
    .update({ property_date_type: 'date-given' })`,
  set: `setBased((chunk) => chunk.update({ property_date_type: 'date-given' }))`,
  values: `(db, rows) => updateRows(db, 'properties',
    rows.map(({ id }) => ({ id, property_date_type: 'date-given' })),
    { key: ['id'], set: ['property_date_type'] })`,
  cpu: `(db, rows) => {
    const transform = (id) => {${transformation}
    };
    const changed = rows.map(({ id }) => ({ id, property_date_type: transform(id) }));
    return updateRows(db, 'properties', changed, { key: ['id'], set: ['property_date_type'] });
  }`,
};

/** The text of a migration of `properties`. */
export function migrationSource(style: Style): string {
  return `import { setBased, updateRows } from 'umzug-cluster';
void setBased, updateRows;
export const select = ${select};
export const update = ${updates[style]};
`;
}

/** A user's project with these migration files; the product is found in its node_modules. */
export async function makeBenchProject(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'umzug-cluster-bench-project-'));
  await mkdir(path.join(folder, 'migrations'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(path.join(folder, 'migrations', name), text);
  }
  return folder;
}
