import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
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

/** What the page needs beside its own code: no package is loaded by a browser, so it gets files. */
const page = path.join(built, 'ui', 'page');
const packages = path.join(import.meta.dirname, '..', 'node_modules');
const fromPackages = [
  ['htm/preact/standalone.module.js', 'preact.js', ''],
  ['uplot/dist/uPlot.iife.min.js', 'uplot.js', '\nexport { uPlot };\n'],
  ['uplot/dist/uPlot.min.css', 'uplot.css', ''],
];
for (const [file, name, end] of fromPackages) {
  writeFileSync(path.join(page, name), readFileSync(path.join(packages, file), 'utf8') + end);
}
const source = path.join(import.meta.dirname, '..', 'src', 'ui', 'page');
copyFileSync(path.join(source, 'style.css'), path.join(page, 'style.css'));
/** All modules are asked for at once: each that is found only in another one costs a round trip. */
const preloads = readdirSync(page)
  .filter((name) => name.endsWith('.js'))
  .map((name) => `    <link rel="modulepreload" href="${name}" />\n`);
const index = readFileSync(path.join(source, 'index.html'), 'utf8');
writeFileSync(path.join(page, 'index.html'), index.replace('  </head>', `${preloads.join('')}  </head>`));
const licenses = ['htm', 'preact', 'uplot'].map(
  (name) => `${name}\n\n${readFileSync(path.join(packages, name, 'LICENSE'), 'utf8')}`,
);
writeFileSync(path.join(page, 'licenses.txt'), licenses.join('\n\n'));
