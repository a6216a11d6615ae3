import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, type ConfigInput, loadConfig } from '../../src/config/config.ts';
import { defaultTuning, settings } from '../../src/core/config/settings.ts';
import { UmzugClusterError } from '../../src/errors.ts';

let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(path.join(os.tmpdir(), 'config-'));
});
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

const url = 'postgres://app:secret@db.example:6543/shop';

function knexfile(text: string, name = 'knexfile.ts'): void {
  writeFileSync(path.join(cwd, name), text);
}

function load(flags: ConfigInput['flags'] = {}, env: NodeJS.ProcessEnv = {}): Promise<Config> {
  return loadConfig({ flags, cwd, env: { PGHOST: 'pg.example', ...env } });
}

async function refusal(
  flags: ConfigInput['flags'] = {},
  env: NodeJS.ProcessEnv = {},
): Promise<UmzugClusterError> {
  const error = await load(flags, env).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof UmzugClusterError) return error;
  throw new Error(`not refused as it should be: ${String(error)}`);
}

describe('settings', () => {
  it('have one row for each key of Tuning, a default inside its bounds, and names of their own', () => {
    expect(defaultTuning(8)).toEqual({
      workers: 8,
      lanes: null,
      chunkSize: null,
      targetMs: 500,
      pace: null,
      maxRows: 20_000,
      maxBytes: 16_777_216,
      maxQuarantined: 100,
      ceilingMs: 60_000,
      statementTimeoutMs: 30_000,
      lockTimeoutMs: 2_000,
      idleTimeoutMs: 30_000,
      clientCheckMs: 1_000,
      tcpUserTimeoutMs: 10_000,
      connectTimeoutMs: 5_000,
      retryBudgetMs: 150_000,
      graceMs: 20_000,
      targetsAtOnce: 4,
      maxTimeMs: null,
      undo: false,
      waitForOldTransactions: true,
      fullSpeed: false,
      maxLockWaiters: 0,
      maxLagBytes: 1_000_000_000,
      maxLagMs: null,
      maxSlotBytes: 16_000_000_000,
      maxArchiveBytes: 16_000_000_000,
      maxWalPerSecond: null,
      maxDeadTuples: null,
      maxActiveSessions: null,
      maxTransactionAgeMs: null,
      minFreeConnections: 5,
      maxHoldMs: null,
    });
    expect(new Set(settings.map(({ env }) => env)).size).toBe(settings.length);
    for (const setting of settings) {
      if (setting.kind === 'switch' || typeof setting.default !== 'number') continue;
      expect(Math.min(Math.max(setting.default, setting.min), setting.max)).toBe(setting.default);
    }
  });
});

describe('tuning', () => {
  it('takes defaults < knexfile < environment < flags', async () => {
    knexfile(
      `export default { client: 'pg', migrations: { cluster: { workers: 2, targetMs: 100, lanes: 3, graceMs: 1000 } } };`,
    );
    const env = { UMZUG_CLUSTER_WORKERS: '3', UMZUG_CLUSTER_TARGET_MS: '200', UMZUG_CLUSTER_CHUNK_SIZE: '' };
    const { tuning } = await load({ workers: '4' }, env);
    expect(tuning).toMatchObject({ workers: 4, targetMs: 200, lanes: 3, graceMs: 1_000, chunkSize: null });
    expect(Object.isFrozen(tuning)).toBe(true);
  });

  it('reads durations and switches', async () => {
    const env = { UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS: 'false', UMZUG_CLUSTER_GRACE: '5s' };
    const { tuning } = await load({ 'max-time': '1h30m' }, env);
    expect(tuning).toMatchObject({ maxTimeMs: 5_400_000, graceMs: 5_000, waitForOldTransactions: false });
  });

  it.each(['0', '-1', '1.5', '10k', 'NaN', '1e12', '1000000000000', ' ', '0x10', 'all'])(
    'refuses --chunk-size %s, naming the range',
    async (value) => {
      const error = await refusal({ 'chunk-size': value });
      expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 });
      expect(error.message).toContain('--chunk-size must be a whole number from 1 to 1000000');
    },
  );

  it.each([0, -1, 1.5, Number.NaN, 1e12, '"10k"', '{}', '[5]', 'true'])(
    'refuses chunkSize %s in the knexfile, naming file and key',
    async (value) => {
      knexfile(`export default { migrations: { cluster: { chunkSize: ${String(value)} } } };`);
      const error = await refusal();
      expect(error.code).toBe('CONFIG');
      expect(error.message).toContain('knexfile.ts: migrations.cluster.chunkSize must be');
    },
  );

  it.each(['0', '-1', '10000', 'all', false])('refuses --workers %s', async (value) => {
    expect((await refusal({ workers: value })).message).toContain('from 1 to 256');
  });

  it.each(['20', '-5s', '5 bananas', '2h'])('refuses --grace %s with examples', async (value) => {
    const error = await refusal({ grace: value });
    expect(error.message).toContain('--grace must be a duration');
    expect(error.hint).toContain('1h30m');
  });

  it('refuses a flag that is repeated', async () => {
    expect((await refusal({ workers: ['1', '2'] })).message).toContain('more than once');
  });

  it('refuses unknown keys and slips of variables with the nearest name', async () => {
    const slip = await refusal({}, { UMZUG_CLUSTER_CHUNKSIZE: '5' });
    expect(slip.message).toContain('did you mean "UMZUG_CLUSTER_CHUNK_SIZE"?');
    knexfile(`export default { migrations: { cluster: { chunkSzie: 5 } } };`);
    const unknown = await refusal();
    expect(unknown.message).toBe('knexfile.ts: unknown key "chunkSzie", did you mean "chunkSize"?');
  });

  it('refuses a target time above the ceiling', async () => {
    knexfile(`export default { migrations: { cluster: { targetMs: 5000, ceilingMs: 1000 } } };`);
    expect((await refusal()).message).toContain('targetMs (5000) is larger than ceilingMs (1000)');
  });
});

describe('knexfile', () => {
  it.each([
    ['knexfile.ts', `interface A { a: 1 } const a: A = { a: 1 }; export default { searchPath: ['x', 'y'] };`],
    ['knexfile.js', `module.exports = { searchPath: ['x', 'y'] };`],
    ['knexfile.mjs', `export default { searchPath: ['x', 'y'] };`],
    ['knexfile.cjs', `module.exports = async () => ({ searchPath: ['x', 'y'] });`],
  ])('is found as %s', async (name, text) => {
    knexfile(text, name);
    const config = await load();
    expect(config.searchPath).toEqual(['x', 'y']);
    expect(config.knexfile).toBe(path.join(cwd, name));
    expect(config.knexConfig).toEqual({ client: 'pg' });
  });

  it('chooses the environment by --env, then NODE_ENV, then development', async () => {
    knexfile(
      `export default { development: { searchPath: 'd' }, test: { searchPath: 't' }, staging: { searchPath: 's' } };`,
    );
    expect((await load()).searchPath).toEqual(['d']);
    expect((await load({}, { NODE_ENV: 'test' })).searchPath).toEqual(['t']);
    expect((await load({ env: 'staging' }, { NODE_ENV: 'test' })).environment).toBe('staging');
    expect((await refusal({ env: 'stagin' })).message).toContain('did you mean "staging"?');
  });

  it('finds the migrations beside the knexfile, or where --migrations says', async () => {
    mkdirSync(path.join(cwd, 'sub'));
    knexfile(
      `export default { migrations: { directory: './mine', schemaName: 'ledger' } };`,
      'sub/knexfile.ts',
    );
    const config = await load({ knexfile: 'sub/knexfile.ts' });
    expect(config).toMatchObject({ migrationsDir: path.join(cwd, 'sub/mine'), ledgerSchema: 'ledger' });
    expect((await load({ migrations: 'other' })).migrationsDir).toBe(path.join(cwd, 'other'));
    expect((await load()).migrationsDir).toBe(path.join(cwd, 'migrations'));
  });

  it.each([
    [`directory: ['a', './b', 'a']`, ['a', 'b']],
    [`directory: 'a', cluster: { directory: './data' }`, ['data']],
    [`directory: ['a', 'b'], sortDirsSeparately: true, cluster: { directory: ['c', 'd'] }`, ['c', 'd']],
    [`directory: ['a'], sortDirsSeparately: true`, ['a']],
  ])(
    'reads the migrations of every folder that knex reads, or of its own: %s',
    async (migrations, folders) => {
      knexfile(`export default { migrations: { ${migrations} } };`);
      const { migrationsDirs, migrationsDir } = await load();
      expect(migrationsDirs).toEqual(folders.map((folder) => path.join(cwd, folder)));
      expect(migrationsDir).toBe(migrationsDirs.at(-1));
    },
  );

  it.each([
    ['export default {', /^knexfile.ts:1:16 syntax error/],
    [
      'throw new Error("no postgres://u:secret@h/d")',
      /^knexfile.ts threw while loading: no postgres:\/\/u:\*\*\*@h/,
    ],
    ['import "lodahs"; export default {}', /lodahs/],
    ['export default 5', /must export an object: found number/],
    ['export default { migrations: 5 }', /migrations must be an object/],
    ['export default { migrations: { directry: "x" } }', /unknown key "directry", did you mean "directory"/],
    ['export default { migrations: { directory: 5 } }', /migrations.directory must be/],
    [
      'export default { migrations: { cluster: { directory: [] } } }',
      /migrations.cluster.directory must be the path of a folder, or a list/,
    ],
    [
      'export default { migrations: { directory: ["a", "b"], sortDirsSeparately: true } }',
      /migrations.sortDirsSeparately is not supported/,
    ],
    ['export default { migrations: { schemaName: "pg_x" } }', /schemaName/],
    ['export default { client: "mysql2" }', /client must be 'pg': got 'mysql2'/],
    ['export default { client: "cockroachdb" }', /client must be 'pg'/],
    ['export default { searchPath: [5] }', /searchPath/],
    ['export default { connection: 5 }', /knexfile.ts: connection must be/],
  ])('refuses %s', async (text, message) => {
    knexfile(text);
    const error = await refusal();
    expect(error).toMatchObject({ code: 'CONFIG', message: expect.stringMatching(message) as string });
    expect(error.message).not.toContain('secret');
  });

  it('refuses a --knexfile that is not there', async () => {
    expect((await refusal({ knexfile: 'nope.ts' })).message).toContain(path.join(cwd, 'nope.ts'));
  });
});

describe('database', () => {
  it('is DATABASE_URL before the knexfile’s connection before PG*', async () => {
    const variables = { PGHOST: 'pg.example', PGDATABASE: 'three' };
    const byVariables = await load({}, variables);
    expect(byVariables.database).toEqual({
      kind: 'connection',
      connection: { host: 'pg.example', database: 'three' },
      label: 'pg.example:5432/three',
    });
    knexfile(`export default { connection: { host: 'file.example', database: 'two' } };`);
    expect((await load({}, variables)).database).toMatchObject({ label: 'file.example:5432/two' });
    const byUrl = await load({}, { ...variables, DATABASE_URL: url });
    expect(byUrl.database).toMatchObject({ connection: url, label: 'db.example:6543/shop' });
  });

  const nobody = { PGHOST: '' };
  const embeddedKnexfile = `export default { client: 'pg', migrations: { cluster: { embedded: true } } };`;

  it('must be configured, but for a command that opens none; a .env is named, which is not read', async () => {
    const error = await refusal({}, nobody);
    expect(error).toMatchObject({ code: 'CONFIG', message: 'no database is configured', detail: undefined });
    writeFileSync(path.join(cwd, '.env'), 'DATABASE_URL=x');
    expect((await refusal({}, nobody)).detail).toContain('node --env-file=.env');
    const files = await loadConfig({ flags: {}, cwd, env: {}, needs: 'files' });
    expect(files.database.kind).toBe('none');
  });

  it('is the embedded one where the knexfile or --embedded asks for it', async () => {
    knexfile(embeddedKnexfile);
    expect((await load({}, nobody)).database).toEqual({ kind: 'embedded' });
    expect((await load({}, { DATABASE_URL: url })).database).toMatchObject({ connection: url });
    knexfile(`export default { connection: '${url}' };`);
    expect((await load({ embedded: true }, nobody)).database).toEqual({ kind: 'embedded' });
    const byVariable = { ...nobody, UMZUG_CLUSTER_EMBEDDED: 'true' };
    expect((await load({}, byVariable)).database).toEqual({ kind: 'embedded' });
    const both = await refusal({ embedded: true }, { DATABASE_URL: url });
    expect(both.message).toBe('--embedded and DATABASE_URL name two databases');
  });

  it('is never the embedded one in production', async () => {
    knexfile(embeddedKnexfile);
    const production = { ...nobody, NODE_ENV: 'production' };
    expect(await refusal({}, production)).toMatchObject({
      message: 'no database is configured',
      detail: 'the embedded server is never used in production',
      hint: 'set DATABASE_URL, or connection in knexfile.ts',
    });
    expect((await refusal({ embedded: true }, production)).message).toMatch(/never used in production/);
  });

  it.each(['process.env.NO_SUCH_VARIABLE', 'null', `''`, '{ host: process.env.NO_SUCH_VARIABLE }'])(
    'is no other than the one that was meant: connection: %s is refused in every environment',
    async (connection) => {
      knexfile(
        `export default { development: { connection: ${connection} }, staging: { connection: ${connection} } };`,
      );
      const says = /^knexfile\.ts: environment "staging" has a connection that is (undefined|null|empty)$/;
      expect((await refusal({ env: 'staging' }, nobody)).message).toMatch(says);
      expect((await refusal({}, nobody)).message).toContain('environment "development" has a connection');
      expect((await load({}, { DATABASE_URL: url })).database).toMatchObject({ connection: url });
      expect((await loadConfig({ flags: {}, cwd, env: {}, needs: 'files' })).database.kind).toBe('none');
    },
  );

  it.each([
    ['{ connectionString: process.env.NO_SUCH_VARIABLE, ssl: true }', 'connectionString is undefined'],
    [`{ host: process.env.NO_SUCH_VARIABLE, database: 'shop' }`, 'host is undefined'],
    [`{ host: 'h', user: 'u', database: process.env.NO_SUCH_VARIABLE || '' }`, 'database is empty'],
  ])(
    'is no other than the one that was meant: %s is refused, unless PG* fill it',
    async (connection, says) => {
      knexfile(`export default { connection: ${connection} };`);
      const error = await refusal({}, nobody);
      expect(error.message).toBe(`knexfile.ts: environment "development" has a connection whose ${says}`);
      const variables = { PGHOST: 'pg.example', PGDATABASE: 'shop' };
      expect((await load({}, variables)).database.kind).toBe('connection');
    },
  );

  it('is refused with a hook that would be passed over', async () => {
    knexfile(`export default { connection: '${url}', pool: { afterCreate: (connection, done) => done() } };`);
    expect((await refusal()).message).toContain('knexfile.ts: pool.afterCreate is not called');
  });

  it('is in the schema that the URL names, as Prisma writes it, before the knexfile’s searchPath', async () => {
    knexfile(`export default { searchPath: ['other'] };`);
    expect((await load({}, { DATABASE_URL: `${url}?schema=app&connection_limit=1` })).searchPath).toEqual([
      'app',
    ]);
    expect((await load({}, { DATABASE_URL: url })).searchPath).toEqual(['other']);
  });

  it.each([
    ['mysql://u:secret@h/d', /mysql:\/\/ URL/],
    ['h:5432/d', /does not start with postgres:\/\//],
    ['nonsense', /does not start with postgres:\/\//],
    ['postgres://u:secret@h:abc/d', /the port is not a whole number/],
    ['postgres://u:secret@h:99999/d', /the port is not a whole number/],
    ['postgres://u:secret', /the port is not a whole number/],
    ['postgres://h/d?port=secret', /the port is not a whole number/],
    ['postgres://a:1,b:secret/d', /the port is not a whole number/],
    ['postgres://u:secret@a,,b/d', /one of its hosts is empty/],
    ['postgres://u:se#cret@h/d', /percent-encoded/],
    ['postgres://shop@corp:se#cret@h:5432/d', /percent-encoded/],
    ['postgres://shop@corp:se/cret@h:5432/d', /percent-encoded/],
    ['postgres://shop:12/secret@h:5432/d', /percent-encoded/],
    ['postgres://shop:/secret@h:5432/d', /percent-encoded/],
    ['postgres://shop:12?secret@h:5432/d', /percent-encoded/],
    ['postgres://shop:1 2/se cret%@h:5432/d', /percent-encoded/],
    ['postgres://shop:se%cret@h:5432/d', /must be percent-encoded, as %25/],
    ['postgres://shop:x@h/d#secret', /must be percent-encoded, as %23/],
    ['postgres://h/d?user=u&password=x&secret', /the password has an & that must be %26/],
    ['postgres://h/d?sslmode=allow', /sslmode must be one of disable, prefer, .*: got "allow"/],
    ['postgres://h/d?sslmode=verify-full&sslrootcert=system', /sslrootcert=system is not supported/],
    ['postgres://h/d?socket=/tmp', /unknown parameter "socket"/],
    ['postgres://h/d?dbname=other', /unknown parameter "dbname"/],
    ['postgres://a,b/d?target_session_attrs=standby', /target_session_attrs must be one of any, read-write/],
    ['postgres://h/d?ssl=false', /ssl must be one of true, 1, 0/],
    ['postgres://h/d?anything=1', /unknown parameter "anything"/],
  ])('refuses DATABASE_URL=%s, naming the part, without the password', async (text, message) => {
    const error = await refusal({}, { DATABASE_URL: text });
    expect(error.message).toMatch(message);
    expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain('cret');
  });
});

describe('a name that every object has', () => {
  it.each(['__proto__', 'constructor', 'toString'])('is no environment: %s', async (name) => {
    knexfile(`export default { production: { client: 'pg', connection: '${url}' } };`);
    expect((await refusal({ env: name })).message).toBe(`knexfile.ts: no environment "${name}"`);
  });

  it('is no parameter of a URL', async () => {
    const { message, hint } = await refusal({}, { DATABASE_URL: `${url}?constructor=1` });
    expect(message).toMatch(/unknown parameter "constructor"/);
    expect(hint).toMatch(/^remove it/);
  });
});
