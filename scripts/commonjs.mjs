import { writeFileSync } from 'node:fs';
import path from 'node:path';

/** Finishes the CommonJS copies of what migration files use: says that they are CommonJS, and how they find pg. */
const folder = path.join(import.meta.dirname, '..', 'dist', 'cjs');
writeFileSync(path.join(folder, 'package.json'), '{ "type": "commonjs" }\n');
writeFileSync(path.join(folder, 'postgres', 'pg.js'), "'use strict';\nexports.pg = require('pg');\n");
