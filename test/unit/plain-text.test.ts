import { describe, expect, it } from 'vitest';
import { mayImport, plainKind } from '../../src/migration/file/plain-text.ts';

describe('a source', () => {
  it.each([
    `import type { Select, Update } from 'umzug-cluster';\nexport const up = (db) => db('t').from('u');`,
    `import { setBased } from "umzug-cluster";\nimport type {\n  Select,\n} from 'umzug-cluster';`,
    `import { testMigration } from 'umzug-cluster/testing';`,
  ])('imports nothing but this package: %s', (source) => {
    expect(mayImport(source)).toBe(false);
  });

  it.each([
    `import { one } from './lib/one';`,
    `import type { Select } from 'umzug-cluster';\nimport './lib/one';`,
    `import { Select } from 'umzug-cluster'; import one from './lib/one';`,
    `export * from "./lib/one";`,
    `export { one } from // here\n'./lib/one';`,
    `export { one } from/* here */'./lib/one';`,
    `const one = require('./lib/one');`,
    `const one = await import(name);`,
    `import one = require('./lib/one');`,
    `import { other } from 'umzug-cluster-other';`,
  ])('may import something: %s', (source) => {
    expect(mayImport(source)).toBe(true);
  });
});

describe('the kind of a migration', () => {
  it.each([
    ['data', `export const select: Select = (db) => db('t');\nexport const update = async () => {};`],
    ['data', `export function select() {}\nexport async function update() {}\nexport const down = {};`],
    ['schema', `export const up = (db) => db.schema.raw('x');`],
    ['schema', `/*\nexport const select = 1;\nexport const update = 2;\n*/\nexport async function up() {}`],
    [null, `export const select = 1;\nexport const update = 2;\nexport const up = 3;`],
    [null, `export const select = 1;`],
    [null, `const up = 1;\nexport { up };`],
    [null, `const up = 1;\nexport default { up };`],
    [null, `export * from './other';\nexport const up = 1;`],
    [null, `exports.up = () => {};`],
    [null, 'export const up = 1;\nconst text = `\nexport const select = 1;`;'],
    [null, ''],
  ] as const)('is %s by its text: %s', (kind, source) => {
    expect(plainKind(source)).toBe(kind);
  });
});
