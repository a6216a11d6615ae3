import { fail } from '../errors.ts';
import { makeChecks } from './checks/checks.ts';
import { differenceOf } from './checks/difference.ts';
import { fill } from './checks/fill.ts';
import { failed, ofDifference, passed, skipped } from './checks/results.ts';
import type { TestContext } from './checks/test-context.ts';
import { type Ended, runCommand } from './command/command.ts';
import type { CheckResult, MigrationListReport, MigrationTestReport } from './contract/contract.ts';
import type { ListStep, TestRequest } from './contract/messages.ts';
import type { Snapshot } from './database/snapshot.ts';

/** What all migrations of one test share. */
export type Stage = Pick<TestContext, 'place' | 'callbacks' | 'look' | 'copy'>;

/** One migration, to be tested on copies of the database `seeded`. */
export async function contextOf(
  stage: Stage,
  request: TestRequest,
  { file, seeded }: { readonly file: string; readonly seeded: string },
): Promise<TestContext> {
  const name = await stage.place.folder.add(file);
  return {
    ...stage,
    request,
    files: filesOf(request.tested),
    name,
    fresh: () => stage.copy(seeded),
    seed: await stage.look(seeded),
  };
}

/** The migrations of a test. */
export function filesOf(tested: TestRequest['tested']): readonly string[] {
  if (typeof tested === 'string') return [tested];
  return tested.flatMap((step) => (step.kind === 'file' ? [step.file] : []));
}

/** How far a list has come. */
interface Progress {
  /** A database in which all files so far have run. */
  url: string;
  /** The rows after the last seed, and what ran since. */
  seeded: Snapshot;
  since: { readonly name: string; readonly hasDown: boolean }[];
  readonly migrations: MigrationTestReport[];
}

/**
 * Runs the files one after the other, and tests each data migration by itself on what those before it have left: crashes
 * and all. Then rolls back what ran after the last seed. Throws where the list holds no data migration.
 */
export async function conductList(
  stage: Stage,
  request: TestRequest,
  steps: readonly ListStep[],
  seeded: string,
): Promise<MigrationListReport> {
  const at: Progress = { url: seeded, seeded: await stage.look(seeded), since: [], migrations: [] };
  // What the author checks is the result of all of them.
  const each = { ...request, check: null };
  for (const step of steps) {
    if (step.kind === 'seed') {
      await fill(step.seed, stage.callbacks, at.url);
      Object.assign(at, { seeded: await stage.look(at.url), since: [] });
      continue;
    }
    const wrong = await runNext(stage, each, step.file, at);
    if (wrong === null) continue;
    const checks = [failed('up', wrong), skipped('check', 'up failed'), skipped('down', 'up failed')];
    return { migrations: at.migrations, checks };
  }
  if (at.migrations.length === 0) {
    throw fail('USAGE', {
      message: 'testMigration: files holds no data migration',
      hint: 'list the one that changes rows, after the files that it needs',
    });
  }
  return {
    migrations: at.migrations,
    checks: [passed('up'), await ownCheck(stage, request, at), await downCheck(stage, at)],
  };
}

/** Runs one file on a copy, which is the database of the next one. Returns what is wrong, or null. */
async function runNext(
  stage: Stage,
  request: TestRequest,
  file: string,
  at: Progress,
): Promise<string | null> {
  const { place } = stage;
  const name = await place.folder.add(file);
  const next = await stage.copy(at.url);
  const ended = await runCommand(place, next, ['up', '--name', name, '--allow-out-of-order']);
  const described = await place.folder.describe(name);
  if (described?.kind === 'data') {
    at.migrations.push(await makeChecks(await contextOf(stage, request, { file, seeded: at.url })));
  }
  if (ended.kind !== 'done') return `${name}: ${messageOf(ended)}`;
  at.url = next;
  at.since.push({ name, hasDown: described?.hasDown === true });
  return null;
}

function messageOf(ended: Exclude<Ended, { kind: 'done' }>): string {
  return ended.kind === 'failed' ? ended.message : 'its process was killed';
}

/** On a copy: what the check writes is nothing that a migration did. */
async function ownCheck(stage: Stage, { check }: TestRequest, { url }: Progress): Promise<CheckResult> {
  if (check === null) return skipped('check', 'no check is given');
  const error = await stage.callbacks.call(check, await stage.copy(url));
  return error === null ? passed('check') : failed('check', error);
}

/** Rolls back from the last file to the first one after the last seed. */
async function downCheck(stage: Stage, { url, seeded, since }: Progress): Promise<CheckResult> {
  const without = since.find(({ hasDown }) => !hasDown);
  if (without !== undefined) return skipped('down', `${without.name} exports no down`);
  const at = await stage.copy(url);
  for (const { name } of since.toReversed()) {
    const ended = await runCommand(stage.place, at, ['down', '--name', name, '--yes']);
    if (ended.kind !== 'done') return failed('down', `${name}: ${messageOf(ended)}`);
  }
  const difference = differenceOf(seeded, await stage.look(at), seeded);
  return ofDifference('down', difference, {
    what: 'after all files were rolled back the rows are not as they were before',
    hint: 'have a down that makes a column again fill it from what took its place',
  });
}
