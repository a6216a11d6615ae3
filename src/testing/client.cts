import type { Knex } from 'knex';
import type {
  MigrationListReport,
  MigrationListTest,
  MigrationTest,
  MigrationTestError,
  MigrationTestReport,
  Seed,
  SeedBetween,
} from './contract/contract.ts' with {
  'resolution-mode': 'import',
};
import type {
  FromConductor,
  ListStep,
  SeedStep,
  TestRequest,
  ToConductor,
} from './contract/messages.ts' with {
  'resolution-mode': 'import',
};

const childProcess = require('node:child_process') as typeof import('node:child_process');
const path = require('node:path') as typeof import('node:path');
const url = require('node:url') as typeof import('node:url');

/**
 * The part of `testMigration` that lives in the test's process. CommonJS, and next to nothing: jest loads no
 * other module format unasked, and no test runner's loader may come near the code under test. All else is done
 * by the conductor, a process of its own; this one calls the author's functions for it.
 */

type AuthorFunction = (db: Knex) => unknown;

const known: Readonly<Record<keyof MigrationTest | 'files', true>> = {
  file: true,
  files: true,
  seed: true,
  schema: true,
  earlier: true,
  database: true,
  copyRows: true,
  args: true,
  chunkSize: true,
  idempotent: true,
  ignore: true,
  check: true,
  cwd: true,
  knexfile: true,
  env: true,
};

/**
 * Runs one migration in small chunks on databases of the test's own, kills it in the middle, resumes it, runs
 * it twice and rolls it back, comparing every row. With `files` it does so with each data migration of a list, on what
 * those before it have left, and rolls back the whole list. Resolves to a report; rejects with a `MigrationTestError`
 * that has one message for each failed check. Takes seconds: give the test a timeout of a minute.
 */
async function testMigration(test: MigrationTest): Promise<MigrationTestReport>;
async function testMigration(test: MigrationListTest): Promise<MigrationListReport>;
async function testMigration(
  test: MigrationTest | MigrationListTest,
): Promise<MigrationTestReport | MigrationListReport> {
  const functions: AuthorFunction[] = [];
  const request = requestOf(test, functions);
  const thrown: unknown[] = [];
  const call = async (no: number, databaseUrl: string): Promise<string | null> => {
    try {
      await callOn(databaseUrl, functions[no]);
      return null;
    } catch (error) {
      thrown.push(error);
      return error instanceof Error ? error.message : String(error);
    }
  };
  const last = await converse(request, call);
  if (last.type === 'refused') throw testError(last.code, last.message, null, thrown[0]);
  const { report } = last;
  const found = 'migrations' in report ? [...report.migrations, report] : [report];
  const messages = found.flatMap((one) => failureOf(one) ?? []);
  if (messages.length === 0) return report;
  throw testError('MIGRATION_FAILED', messages.join('\n'), report, thrown[0]);
}

/** What the failed checks of a migration say, or those of the whole list; null where none has failed. */
function failureOf(report: MigrationTestReport | MigrationListReport): string | null {
  const { checks } = report;
  const failed = checks.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0) return null;
  const what = 'migrations' in report ? 'all files together' : report.migration;
  const lines = failed.map(({ name, message }) => `${name}: ${message ?? ''}`);
  return [`${what}: ${failed.length} of ${checks.length} checks failed`, ...lines].join('\n  ');
}

/** A test of either kind. */
interface Asked extends Omit<MigrationListTest, 'files'> {
  readonly file?: MigrationTest['file'] | undefined;
  readonly files?: MigrationListTest['files'] | undefined;
}

/** The test without its functions, which are put into `functions`. */
function requestOf(test: MigrationTest | MigrationListTest, functions: AuthorFunction[]): TestRequest {
  const asked: Asked = test;
  const { file, files, seed, schema = [], earlier = [], check, cwd = process.cwd(), ...rest } = asked;
  const unknown = Object.keys(test).filter((name) => !Object.hasOwn(known, name));
  if (unknown.length > 0)
    throw refused(`unknown option "${unknown.join('", "')}"; there are: ${Object.keys(known).join(', ')}`);
  if (file !== undefined && files !== undefined) throw refused('give file or files, not both');
  const hasSeed = seed !== undefined || files?.some((one) => isSeed(one)) === true;
  if (file === undefined && files === undefined)
    throw refused('it needs a file: the path of the migration; or files: those of several, in order');
  if (!hasSeed) throw refused('it needs a seed: the rows to migrate');
  const number = (work: AuthorFunction): number => functions.push(work) - 1;
  const absolute = (one: string | URL): string =>
    typeof one === 'string' && !one.startsWith('file:') ? path.resolve(cwd, one) : url.fileURLToPath(one);
  const step = (one: string | URL | SeedBetween): ListStep =>
    isSeed(one) ? { kind: 'seed', seed: stepsOf(one.seed, number) } : { kind: 'file', file: absolute(one) };
  return {
    ...rest,
    cwd,
    tested: file === undefined ? (files ?? []).map(step) : absolute(file),
    schema: stepsOf(schema, number),
    earlier: earlier.map(absolute),
    seed: stepsOf(seed ?? [], number),
    check: check === undefined ? null : number(check),
  };
}

function isSeed(one: string | URL | SeedBetween): one is SeedBetween {
  return typeof one === 'object' && 'seed' in one;
}

function stepsOf(seed: Seed, number: (work: AuthorFunction) => number): SeedStep[] {
  if (typeof seed === 'string') return [{ kind: 'sql', sql: seed }];
  if (typeof seed === 'function') return [{ kind: 'function', no: number(seed) }];
  if (isList(seed)) return seed.flatMap((one) => stepsOf(one, number));
  return Object.entries(seed).map(([table, rows]) => {
    if (Array.isArray(rows)) return { kind: 'rows', table, rows };
    throw refused(`seed.${table} must be a list of rows`);
  });
}

function isList(seed: Seed): seed is readonly Seed[] {
  return Array.isArray(seed);
}

/** Starts the conductor, answers its calls, and returns its last word. */
function converse(
  request: TestRequest,
  call: (no: number, databaseUrl: string) => Promise<string | null>,
): Promise<Extract<FromConductor, { type: 'report' | 'refused' }>> {
  return new Promise((resolve, reject) => {
    const conductor = childProcess.fork(path.join(__dirname, 'test-process.js'), [], {
      cwd: request.cwd ?? process.cwd(),
      // Not those of the test runner, which would load its hooks.
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said = '';
    conductor.stderr?.on('data', (data) => (said += String(data)));
    const send = (message: ToConductor): void => {
      conductor.send(message, (error) => {
        if (error !== null) reject(refused(`the test cannot be handed over: ${error.message}`));
      });
    };
    conductor.on('message', (message: FromConductor) => {
      if (message.type === 'call') {
        void call(message.no, message.url).then((error) => send({ type: 'called', error }));
        return;
      }
      resolve(message);
      // It has cleaned up; what a knexfile may have left open is no reason to wait.
      conductor.kill('SIGKILL');
    });
    conductor.on('error', (error) => reject(refused(`its process does not start: ${error.message}`)));
    conductor.on('exit', () =>
      reject(refused(`its process ended unexpectedly: ${said.trim().slice(0, 2_000)}`)),
    );
    try {
      send({ type: 'start', request });
    } catch (error) {
      conductor.kill('SIGKILL');
      reject(refused(`the seed holds something that cannot be copied: ${String(error)}`));
    }
  });
}

/** Calls a function of the author's with a knex of its own, which is destroyed afterwards. */
async function callOn(databaseUrl: string, work: AuthorFunction | undefined): Promise<void> {
  // Only now: most tests have no function.
  const knex = require('knex') as typeof import('knex').default;
  const db = knex({ client: 'pg', connection: databaseUrl, pool: { min: 0, max: 4 } });
  try {
    await work?.(db);
  } finally {
    await db.destroy();
  }
}

function refused(message: string): Error {
  return testError('USAGE', `testMigration: ${message}`, null, undefined);
}

function testError(
  code: string,
  message: string,
  report: MigrationTestReport | MigrationListReport | null,
  cause: unknown,
): MigrationTestError<MigrationTestReport | MigrationListReport> {
  const error = new Error(message, cause === undefined ? undefined : { cause });
  return Object.assign(error, { name: 'MigrationTestError' as const, code, report });
}

// @ts-expect-error TS1294 is for files that Node may run as they stand; this one is always compiled.
export = { testMigration };
