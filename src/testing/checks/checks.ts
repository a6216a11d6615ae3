import { fail } from '../../errors.ts';
import type { CheckName, CheckResult, MigrationTestReport } from '../contract/contract.ts';
import { type Ended, runCommand } from '../command/command.ts';
import { differenceOf } from './difference.ts';
import type { Described } from '../command/interrupted.ts';
import { interruptedChecks } from './interruptions.ts';
import { failed, fromCommand, ofDifference, passed, skipped } from './results.ts';
import type { Snapshot } from '../database/snapshot.ts';
import type { TestContext } from './test-context.ts';

/** Most rows that a chunk may have; as few chunks as can be are what small ones are compared with. */
export const mostRows = 1_000_000;
const largeChunks = ['--chunk-size', String(mostRows)];

/** So many chunks a run has, unless the test says how large they are: enough for a crash in the middle. */
const chunksOfARun = 7;

/** Makes every check and reports. Throws where the file is not a data migration. */
export async function makeChecks(context: TestContext): Promise<MigrationTestReport> {
  const { name, request } = context;
  const url = await context.fresh();
  const up = await runCommand(context.place, url, [
    'up',
    '--name',
    name,
    '--allow-out-of-order',
    ...largeChunks,
  ]);
  const described = await context.place.folder.describe(name);
  if (described?.kind === 'schema') throw notData(name);
  const rows = rowsOf(up);
  const chunkSize = request.chunkSize ?? Math.max(1, Math.floor(rows / chunksOfARun));
  const wrong = whatIsWrong(up, rows);
  if (described === null || wrong !== null) {
    const checks = [
      failed('up', wrong ?? 'it was not loaded'),
      ...others.map((check) => skipped(check, 'up failed')),
    ];
    return { migration: name, rows, chunkSize, crashes: 0, idempotent: null, checks };
  }
  const result = await context.look(url);
  const checked = checkError(context, url);
  const [calm, interrupted] = await Promise.all([
    calmChecks(context, { url, described, result, checked }),
    interruptedChecks(context, { rows, chunkSize, described, result, checked }),
  ]);
  const checks = [passed('up'), ...calm.checks, ...interrupted.checks];
  return {
    migration: name,
    rows,
    chunkSize,
    crashes: interrupted.crashes,
    idempotent: calm.idempotent,
    checks,
  };
}

const others: readonly CheckName[] = ['check', 'verify', 'twice', 'chunks', 'resume', 'rollback', 'down'];

function whatIsWrong(up: Ended, rows: number): string | null {
  if (up.kind === 'failed') return up.message;
  if (up.kind === 'killed') return 'its process was killed';
  return rows > 0 ? null : 'select finds none of the seeded rows: seed some that it finds';
}

function rowsOf(up: Ended): number {
  if (up.kind === 'killed') return 0;
  const { migrations = [] } = (up.output ?? {}) as {
    readonly migrations?: readonly { readonly rows: number }[];
  };
  return migrations[0]?.rows ?? 0;
}

interface Done {
  readonly url: string;
  readonly described: Described;
  readonly result: Snapshot;
  readonly checked: Promise<string | null>;
}

/** What the test's own check says of it; on a copy: what it writes is nothing that the migration did. */
async function checkError({ request, callbacks, copy }: TestContext, url: string): Promise<string | null> {
  return request.check === null ? null : await callbacks.call(request.check, await copy(url));
}

/** What is asked of a database on which nothing went wrong. */
async function calmChecks(
  context: TestContext,
  { url, described, result, checked }: Done,
): Promise<{ readonly idempotent: boolean | null; readonly checks: readonly CheckResult[] }> {
  const { request, name, place } = context;
  const error = await checked;
  const own = error === null ? passed('check') : failed('check', error);
  const check = request.check === null ? skipped('check', 'no check is given') : own;
  const verify = described.hasVerify
    ? fromCommand('verify', await runCommand(place, url, ['verify', name]))
    : skipped('verify', 'it exports no verify');
  const again = await runCommand(place, url, [
    'up',
    '--name',
    name,
    '--rerun',
    'ALLOW',
    '--allow-out-of-order',
    ...largeChunks,
  ]);
  const difference =
    again.kind === 'done' ? differenceOf(result, await context.look(url), context.seed) : null;
  const idempotent = again.kind === 'done' && difference === null;
  const twice =
    request.idempotent === false
      ? skipped(
          'twice',
          `idempotent is false; a second up ${idempotent ? 'changes nothing' : 'changes rows'}`,
        )
      : again.kind === 'done'
        ? ofDifference('twice', difference, secondChanges)
        : fromCommand('twice', again);
  return { idempotent, checks: [check, verify, twice] };
}

const secondChanges = {
  what: 'a second up changes rows again',
  hint: 'make select find only rows that are not yet migrated, or set idempotent: false if that is intended',
};

function notData(name: string): Error {
  return fail('USAGE', {
    message: `testMigration: ${name} is a schema migration`,
    hint: 'it runs in one transaction, without chunks; list it in earlier to test the data migration that follows',
  });
}
