import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type BadInput, itAnswers, secret } from '../support/bad-input.ts';

/** A knexfile and what is said of it. */
const knexfile = (
  what: string,
  text: string,
  says: BadInput['says'],
  more: Partial<BadInput> = {},
): BadInput => ({
  what,
  files: { 'knexfile.ts': text, 'migrations/a.ts': '' },
  says,
  ...more,
});
const cluster = (key: string, value: string, says: BadInput['says']): BadInput =>
  knexfile(
    `migrations.cluster.${key}: ${value}`,
    `export default { migrations: { cluster: { ${key}: ${value} } } };`,
    says,
  );

itAnswers([
  knexfile(
    'with a syntax error',
    'export default {\n  client: ,\n};',
    /^error: knexfile\.ts:2:\d+ syntax error/m,
  ),
  knexfile(
    'that imports a missing module',
    `import 'lodahs'; export default {};`,
    /knexfile\.ts: cannot find module 'lodahs'/,
  ),
  knexfile(
    'that throws',
    `throw new Error('no vault at postgres://u:${secret}@h/d');`,
    /knexfile\.ts threw while loading: no vault at postgres:\/\/u:\*\*\*@h/,
  ),
  knexfile('that throws a text', `throw 'no vault';`, /knexfile\.ts threw .*"no vault"/),
  knexfile(
    'whose function throws',
    `export default () => { throw new Error('no vault'); };`,
    /knexfile\.ts .*no vault/,
  ),
  knexfile(
    'whose promise rejects',
    `export default Promise.reject(new Error('no vault'));`,
    /knexfile\.ts .*no vault/,
  ),
  knexfile('that ends the process', `process.exit(0);`, /process/, { exit: 1 }),
  knexfile('that exports nothing', 'const config = {};', /knexfile\.ts must export/),
  knexfile('that is empty', '', /knexfile\.ts must export/),
  knexfile('that exports a number', 'export default 5;', /knexfile\.ts must export an object: found number/),
  knexfile('that exports a list', 'export default [];', /knexfile\.ts must export an object: found an array/),
  knexfile(
    'that exports a text',
    `export default 'postgres://u:${secret}@h/d';`,
    /must export an object: found string/,
  ),
  knexfile('with a class', 'export default class Config {}', /knexfile\.ts/),
  knexfile(
    'with migrations that are no object',
    'export default { migrations: 5 };',
    /migrations must be an object: found number/,
  ),
  knexfile(
    'with a slip',
    'export default { conection: {} };',
    /unknown key "conection", did you mean "connection"\?/,
  ),
  knexfile(
    'with a slip in migrations',
    'export default { migrations: { directry: "x" } };',
    /unknown key "directry", did you mean "directory"\?/,
  ),
  cluster('chunkSzie', '5', /^error: knexfile\.ts: unknown key "chunkSzie", did you mean "chunkSize"\?$/m),
  cluster('notify', '[]', /migrations\.cluster\.notify must be an object that names events: got a list/),
  cluster('notify', '{ finished: () => {} }', [
    /migrations\.cluster\.notify: unknown event "finished"/,
    /events: started, done, failed, .*beside them: throttledAfter/,
  ]),
  cluster('notify', '{ fialed: () => {} }', /unknown event "fialed", did you mean "failed"\?/),
  cluster('notify', "{ done: 'https://host/path' }", [
    /notify\.done must be \{ url: .*\}, \{ command: .*\} or a function: got another text/,
  ]),
  cluster('notify', '{ done: [() => {}, {}] }', /notify\.done\[1\]\.url must be .* URL: got undefined/),
  cluster('notify', `{ done: { url: 'ftp://${secret}' } }`, /notify\.done\.url must be an http or https URL/),
  cluster(
    'notify',
    `{ done: { url: 'https://u:${secret}@host' } }`,
    /notify\.done\.url must have no user and no password/,
  ),
  cluster('notify', "{ done: { url: 'https://host', secret: process.env.IS_NOT_SET } }", [
    /notify\.done\.secret must be a text that is not empty: got undefined/,
    /hint: set the variable that it reads/,
  ]),
  cluster(
    'notify',
    "{ done: { url: 'https://host', secrt: 'x' } }",
    /unknown key "secrt", did you mean "secret"/,
  ),
  cluster(
    'notify',
    "{ done: { url: 'https://host', template: 'irc' } }",
    /template must be 'slack' or 'teams'/,
  ),
  cluster('notify', "{ done: { command: 'rm -rf /' } }", /notify\.done\.command must be a list of texts/),
  cluster(
    'notify',
    "{ done: { command: ['a'], env: { A: 1 } } }",
    /notify\.done\.env\.A must be a text: got 1/,
  ),
  cluster(
    'notify',
    "{ throttledAfter: '10' }",
    /notify\.throttledAfter must be a duration from 1 ms to 7d 00h/,
  ),
  cluster('nonsense', '5', [/unknown key "nonsense"/, /migrations\.cluster accepts: workers, lanes/]),
  ...[
    '0',
    '-1',
    '1.5',
    '"10k"',
    'NaN',
    'Infinity',
    '1e12',
    '{}',
    '[5]',
    'true',
    '"5 bananas"',
    '() => 5',
    'Symbol()',
    '5n',
  ].map((value) =>
    cluster(
      'chunkSize',
      value,
      /knexfile\.ts: migrations\.cluster\.chunkSize must be (a whole number from 1 to 1000000|one value)/,
    ),
  ),
  cluster('waitForOldTransactions', '"maybe"', /must be true or false: got "maybe"/),
  cluster('graceMs', '"20 bananas"', /graceMs must be a duration[^]*1h30m/),
  knexfile(
    'with a target time above the ceiling',
    'export default { migrations: { cluster: { targetMs: 5000, ceilingMs: 1000 } } };',
    /targetMs \(5000\) is larger than ceilingMs \(1000\)[^]*lower targetMs/,
  ),
  knexfile(
    'with folders that are sorted one by one',
    'export default { migrations: { directory: ["a", "b"], sortDirsSeparately: true } };',
    /sortDirsSeparately is not supported[^]*set migrations\.cluster\.directory/,
  ),
  knexfile(
    'with a schema of the system',
    'export default { migrations: { schemaName: "pg_x" } };',
    /schemaName must be the name of a schema of your own/,
  ),
  knexfile(
    'with a schema name of 64 bytes',
    `export default { migrations: { schemaName: '${'x'.repeat(64)}' } };`,
    /at most 63 bytes/,
  ),
  knexfile(
    'with a number as searchPath',
    'export default { searchPath: [5] };',
    /searchPath must be a schema or a list/,
  ),
  knexfile('for MySQL', 'export default { client: "mysql2" };', /client must be 'pg': got 'mysql2'/),
  knexfile(
    'for SQLite',
    'export default { client: "better-sqlite3", connection: { filename: "x" } };',
    /client must be 'pg'/,
  ),
  knexfile(
    'for CockroachDB',
    'export default { client: "cockroachdb" };',
    /client must be 'pg': got 'cockroachdb'/,
  ),
  knexfile('with a number as client', 'export default { client: 5 };', /client must be 'pg'/),
  knexfile(
    'with a number as connection',
    'export default { connection: 5 };',
    /knexfile\.ts: connection must be a URL, an object or a function: got number/,
  ),
  knexfile(
    'with a port that is none',
    `export default { connection: { host: 'h', port: 'abc', password: '${secret}' } };`,
    /knexfile\.ts: connection\.port must be a whole number from 1 to 65535: got "abc"/,
  ),
  knexfile(
    'with a port that is NaN',
    'export default { connection: { host: "h", port: Number(undefined) } };',
    /connection\.port must be .*NaN/,
  ),
  knexfile(
    'with a host that is no text',
    'export default { connection: { host: 5 } };',
    /connection\.host must be a string/,
  ),
  knexfile(
    'with a bad URL',
    `export default { connection: 'mysql://u:${secret}@h/d' };`,
    /knexfile\.ts: connection is a mysql:\/\/ URL/,
  ),
  knexfile(
    'with a connection function that throws',
    `export default { connection: () => { throw new Error('no vault'); } };`,
    /connection.*no vault/,
    { exit: 4 },
  ),
  knexfile(
    'with a connection function that rejects',
    `export default { connection: async () => { throw new Error('no vault'); } };`,
    /connection.*no vault/,
    { exit: 4 },
  ),
  knexfile(
    'with a connection function that returns nothing',
    `export default { connection: () => undefined };`,
    /connection.*returned undefined/,
  ),
  knexfile(
    'without the environment asked for',
    'export default { staging: {}, production: {} };',
    /knexfile\.ts: no environment "stagin", did you mean "staging"\?\n[^]*it has: staging, production/,
    { args: 'up --env stagin' },
  ),
  knexfile(
    'without the environment of NODE_ENV',
    'export default { development: {} };',
    /no environment "production"[^]*it has: development[^]*--env NAME/,
  ),
  knexfile(
    'that is flat, where one environment is asked for',
    'export default { client: "pg" };',
    /no environment "staging"[^]*flat/,
    { args: 'up --env staging' },
  ),
  knexfile(
    'with an environment that is null',
    'export default { production: null };',
    /environment "production" must be an object: found null/,
  ),
  {
    what: 'that is not where --knexfile says',
    args: 'up --knexfile config/knexfile.ts',
    says: /no knexfile at .*config\/knexfile\.ts/,
  },
  {
    what: 'that is a folder',
    prepare: (folder) => mkdirSync(path.join(folder, 'knexfile.ts')),
    says: /knexfile\.ts is a folder|knexfile\.ts .*not a file/,
  },
  {
    what: 'that is a broken link',
    prepare: (folder) => symlinkSync('/nowhere', path.join(folder, 'knexfile.js')),
    says: /knexfile\.js/,
  },
  {
    what: 'that is a text file',
    files: { 'config.txt': 'host=x' },
    args: 'up --knexfile config.txt',
    says: /config\.txt/,
  },
  {
    what: 'with CommonJS in an ES module',
    files: { 'package.json': '{"type":"module"}', 'knexfile.js': 'module.exports = { client: 5 };' },
    says: /knexfile\.js/,
  },
  {
    what: 'that is binary',
    prepare: (folder) => writeFileSync(path.join(folder, 'knexfile.ts'), Buffer.from([0, 255, 1, 254])),
    says: /knexfile\.ts/,
  },
]);
