import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Outcome, unasked } from './cli.ts';
import { type TestDatabase, createDatabase } from './database.ts';
import { runInProcess } from './in-process.ts';

/** One bad input and the answer that a user gets. */
export interface BadInput {
  /** What is wrong: the name of the test. */
  readonly what: string;
  /** The command line; a text is split at spaces. Default: `up`. */
  readonly args?: string | readonly string[];
  /** Files of the project, by their path: `migrations/a.ts`, `knexfile.ts`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Does to the project's folder what a text cannot. */
  readonly prepare?: (folder: string) => void;
  /** DATABASE_URL; a function gets the URL of the database that these cases share. Default: not set. */
  readonly url?: string | ((url: string) => string | Promise<string>);
  readonly env?: Readonly<Record<string, string>>;
  /** Default: 2. */
  readonly exit?: number;
  /** What the answer says, in message, detail or hint. */
  readonly says: RegExp | readonly RegExp[];
}

/** A password that no output may hold; tables of cases put it into URLs. */
export const secret = 'hunter2';

const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
// Commands at a time: two cores, and each waits now and then.
const atOnce = 3;
// One function writes the answer in both forms: a third of the cases as JSON too keeps the tables within a minute.
const everyJson = process.env.FAULTS_LONG === '1' ? 1 : 3;

/**
 * A test for each bad input, by the real command line: for a person, and many with `--json` too. The answer is one
 * message, no stack, no secret, the exit code; no file is written, the ledger is not made, no row is changed.
 * `tables` is the SQL that makes the tables of the shared database, `prepare` does what else comes before.
 */
export function itAnswers(
  cases: readonly BadInput[],
  tables = 'select 1',
  prepare: (database: TestDatabase) => Promise<void> = async () => undefined,
): void {
  const answers = new Map<BadInput, Promise<void>>();
  let shared: TestDatabase | null = null;
  beforeAll(async () => {
    const database = await createDatabase();
    shared = database;
    await database.client.query(tables);
    await prepare(database);
    const before = await contentOf(database.client);
    const free = Array.from({ length: atOnce }, () => Promise.resolve());
    for (const [index, input] of cases.entries()) {
      const lane = index % atOnce;
      const answer = (free[lane] as Promise<void>).then(() =>
        expectAnswer(input, database, before, index % everyJson === 0),
      );
      answers.set(input, answer);
      free[lane] = answer.catch(() => undefined);
    }
  });
  afterAll(async () => {
    await Promise.allSettled(answers.values());
    await shared?.drop();
  });
  it.each(cases)('$what', async (input) => await answers.get(input));
}

async function expectAnswer(
  input: BadInput,
  database: TestDatabase,
  before: unknown,
  isJsonToo: boolean,
): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bad-input-'));
  try {
    for (const [file, text] of Object.entries({ ...input.files })) {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), text);
    }
    input.prepare?.(folder);
    const files = filesBelow(folder);
    const url = typeof input.url === 'function' ? await input.url(database.url) : input.url;
    const production = { NODE_ENV: 'production', UMZUG_CLUSTER_LOG_FORMAT: 'pretty' };
    const env = { ...production, ...(url === undefined ? {} : { DATABASE_URL: url }), ...input.env };
    const args = unasked(
      typeof input.args === 'string' ? input.args.split(' ').filter(Boolean) : (input.args ?? ['up']),
    );
    const answer = needsProcess(input) ? runHere : runInProcess;
    expectMessage(await answer(args, folder, env), input);
    if (isJsonToo) expectDocument(await answer(['--json', ...args], folder, env), input);
    expect(filesBelow(folder), 'no file is written').toEqual(files);
    expect(await contentOf(database.client), 'nothing is written to the database').toEqual(before);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Author code that does something to the process that it runs in, or reads its environment. */
function needsProcess({ files = {}, prepare, env = {} }: BadInput): boolean {
  const isTold = Object.keys(env).some((name) => /^(?:NODE_|PG|HOME|XDG)/.test(name));
  return isTold || prepare !== undefined || Object.values(files).some((text) => /\bprocess\b/.test(text));
}

/** Runs the command line in a process of its own, as a deploy in production would. */
export function runHere(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Outcome> {
  const child = spawn(process.execPath, [cli, ...args], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: cwd, XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // a command that hangs
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

function expectMessage({ code, stdout, stderr }: Outcome, { says, exit = 2 }: BadInput): void {
  for (const pattern of [says].flat()) expect(stderr).toMatch(pattern);
  expect({ code, stdout }, stderr).toEqual({ code: exit, stdout: '' });
  expect(stderr.match(/^error: /gm), 'one message').toHaveLength(1);
  expect(stderr, 'no stack').not.toMatch(/^\s+at .*:\d+/m);
  expect(stderr, 'no secret').not.toContain(secret);
  // oxlint-disable-next-line no-control-regex
  expect(stderr, 'nothing that steers a terminal').not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
}

function expectDocument({ code, stdout, stderr }: Outcome, { says, exit = 2 }: BadInput): void {
  expect(code, stderr).toBe(exit);
  const { error } = JSON.parse(stdout) as { error: Readonly<Record<string, string | null>> };
  expect(Object.keys(error)).toEqual(['code', 'message', 'detail', 'hint']);
  const { message, detail, hint } = error;
  const parts = [`error: ${message}`, detail, hint === null ? null : `hint: ${hint}`];
  const text = parts.filter((part) => part !== null).join('\n');
  for (const pattern of [says].flat()) expect(text).toMatch(pattern);
  expect(stdout + stderr).not.toContain(secret);
  expect(stderr, 'stderr is for records alone').not.toMatch(/^error: /m);
}

/** Every file of a folder with the hash of its content; what cannot be read, with its kind. */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const file = path.join(folder, name);
      if (!lstatSync(file).isFile()) return `${name} (no file)`;
      return `${name} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
    });
}

/** All schemas of a database, and the rows of its tables. */
async function contentOf(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select n.nspname as schema, c.relname as name,
            case when c.relkind in ('r', 'p') then
              query_to_xml(format('select count(*), sum(hashtext(t::text)) from only %I.%I as t', nspname, relname),
                           false, true, '')::text
            end as rows
     from pg_namespace as n left join pg_class as c on c.relnamespace = n.oid
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2`,
  );
  return rows;
}
