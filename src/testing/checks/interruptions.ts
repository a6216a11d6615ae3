import type { CheckResult } from '../contract/contract.ts';
import { type Ended, runCommand } from '../command/command.ts';
import { differenceOf } from './difference.ts';
import { type TestFolder, withFolder } from '../command/folder.ts';
import type { Crash, Described } from '../command/interrupted.ts';
import { fromCommand, ofDifference, passed, skipped } from './results.ts';
import type { Snapshot } from '../database/snapshot.ts';
import type { TestContext } from './test-context.ts';

export interface Undisturbed {
  readonly rows: number;
  readonly chunkSize: number;
  readonly described: Described;
  /** What a run in large chunks made of the seed. */
  readonly result: Snapshot;
  /** What the test's own check says of that; null: nothing is wrong. */
  readonly checked: Promise<string | null>;
}

interface Interrupted {
  readonly crashes: number;
  readonly checks: readonly CheckResult[];
}

/** A command that was started again after each crash; `ended`: how the last one did. */
interface Crashed {
  readonly ended: Ended;
  readonly crashes: number;
}

/** A run that is ended by SIGKILL in mid-chunk and between two chunks, and then rolled back, with a crash. */
export async function interruptedChecks(context: TestContext, run: Undisturbed): Promise<Interrupted> {
  // A folder of its own: the crashes ordered in it are for these commands alone.
  return await withFolder(async (folder) => {
    for (const file of context.files) await folder.add(file);
    const own: TestContext = { ...context, place: { ...context.place, folder } };
    const url = await own.fresh();
    const middle = Math.ceil(run.rows / run.chunkSize / 2);
    const up = await crashing(folder, () => inSmallChunks(own, run, url, 'up'), [
      { call: middle, at: 'end' },
      { call: 2, at: 'beginning' },
    ]);
    const afterCrashes = await forwardChecks(own, run, up, url);
    const forward = [...afterCrashes, await rollbackCheck(own, run, afterCrashes)];
    if (up.ended.kind !== 'done')
      return { crashes: up.crashes, checks: [...forward, skipped('down', 'up failed')] };
    if (!run.described.hasDown)
      return { crashes: up.crashes, checks: [...forward, skipped('down', 'it exports no down')] };
    const down = await crashing(folder, () => inSmallChunks(own, run, url, 'down'), [
      { call: middle, at: 'end' },
    ]);
    return {
      crashes: up.crashes + down.crashes,
      checks: [...forward, await backwardCheck(own, down.ended, url)],
    };
  });
}

function inSmallChunks(
  { place, name }: TestContext,
  run: Undisturbed,
  url: string,
  verb: 'up' | 'down',
): Promise<Ended> {
  const flags = verb === 'up' ? ['--allow-out-of-order'] : ['--yes'];
  return runCommand(place, url, [verb, '--name', name, '--chunk-size', String(run.chunkSize), ...flags]);
}

/** Runs a command again and again: first with each of the crashes, at last without one. */
async function crashing(
  folder: TestFolder,
  command: () => Promise<Ended>,
  orders: readonly Crash[],
): Promise<Crashed> {
  let crashes = 0;
  for (const order of orders) {
    await folder.order(order);
    const ended = await command();
    if (ended.kind !== 'killed') return { ended, crashes };
    crashes += 1;
  }
  await folder.order(null);
  return { ended: await command(), crashes };
}

/** Where the result is another one, a run in small chunks without a crash tells which of the two it was. */
async function forwardChecks(
  context: TestContext,
  run: Undisturbed,
  up: Crashed,
  url: string,
): Promise<readonly CheckResult[]> {
  const after = up.ended.kind === 'done' ? await context.look(url) : null;
  if (after !== null && differenceOf(run.result, after, context.seed) === null)
    return [passed('chunks'), passed('resume')];
  const calm = await context.fresh();
  await context.place.folder.order(null);
  const ended = await inSmallChunks(context, run, calm, 'up');
  if (ended.kind !== 'done')
    return [fromCommand('chunks', ended), skipped('resume', 'small chunks fail without a crash')];
  const reference = await context.look(calm);
  const chunks = ofDifference('chunks', differenceOf(run.result, reference, context.seed), chunksMatter);
  if (after === null) return [chunks, fromCommand('resume', up.ended)];
  // After a crash rows are cut into other chunks than before: a difference would say nothing about the crash.
  if (chunks.outcome === 'failed')
    return [chunks, skipped('resume', 'cannot be checked while the result depends on the chunks')];
  return [chunks, ofDifference('resume', differenceOf(reference, after, context.seed), crashesMatter)];
}

/** Chunks that are rolled back when `update` has done its work, and tried again by the same process. */
async function rollbackCheck(
  context: TestContext,
  run: Undisturbed,
  before: readonly CheckResult[],
): Promise<CheckResult> {
  if (before.some(({ outcome }) => outcome !== 'passed'))
    return skipped('rollback', 'cannot be checked while chunks or resume fails');
  const url = await context.fresh();
  await context.place.folder.order('rollbacks');
  const ended = await inSmallChunks(context, run, url, 'up');
  if (ended.kind !== 'done') return fromCommand('rollback', ended);
  const compared = ofDifference(
    'rollback',
    differenceOf(run.result, await context.look(url), context.seed),
    remembered,
  );
  const { check } = context.request;
  // A check that throws without a rollback says nothing of one.
  if (compared.outcome !== 'passed' || check === null || (await run.checked) !== null) return compared;
  const error = await context.callbacks.call(check, url);
  return error === null ? compared : ofDifference('rollback', `check throws: ${error}`, remembered);
}

async function backwardCheck(context: TestContext, ended: Ended, url: string): Promise<CheckResult> {
  if (ended.kind !== 'done') return fromCommand('down', ended);
  return ofDifference(
    'down',
    differenceOf(context.seed, await context.look(url), context.seed),
    staysChanged,
  );
}

const chunksMatter = {
  what: 'the result depends on how the rows are split into chunks',
  hint: 'compute each row from that row alone: no position in rows, no counter outside update; list random columns in ignore',
};

const crashesMatter = {
  what: 'after a kill -9 in the middle the result is different',
  hint: 'write only through db, and keep nothing between two calls of update; list random columns in ignore',
};

const remembered = {
  what: 'after chunks were rolled back and tried again in the same process, the result is different',
  hint: 'keep no state in variables outside update: put it into context.cache, which is emptied when a chunk is rolled back',
};

const staysChanged = {
  what: 'after down the rows are not as they were before',
  hint: 'have update keep what it replaces, and down.select find only the rows that update changed',
};
