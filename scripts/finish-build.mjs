import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const built = path.join(import.meta.dirname, '..', 'dist');

/** Finishes the CommonJS copies of what migration files use: says that they are CommonJS, and how they find pg. */
const folder = path.join(built, 'cjs');
writeFileSync(path.join(folder, 'package.json'), '{ "type": "commonjs" }\n');
writeFileSync(path.join(folder, 'postgres', 'pg.js'), "'use strict';\nexports.pg = require('pg');\n");

/** TypeScript 5 without a target, the usual form of a CommonJS project, takes no declaration with a private name. */
for (const name of readdirSync(built, { recursive: true, encoding: 'utf8' })) {
  if (!/\.d\.c?ts$/.test(name)) continue;
  const file = path.join(built, name);
  const text = readFileSync(file, 'utf8');
  if (text.includes('#private;')) writeFileSync(file, text.replaceAll('#private;', 'private readonly _own;'));
}
