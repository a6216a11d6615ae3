import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What stands between the command line and the migration under test, in the process of the command line. It
 * imports nothing of the product, and leaves the migration as it is unless a crash is ordered.
 */

/** Where a process ends: in its `call`th call of `update`, before it runs or after all that it wrote. */
export interface Crash {
  readonly call: number;
  readonly at: 'beginning' | 'end';
}

/** What goes wrong: a crash, or that chunks are rolled back when `update` has done its work, and are tried again. */
export type Mishap = Crash | 'rollbacks';

/** What a migration exports, as far as the test needs to know. */
export interface Described {
  readonly kind: 'data' | 'schema';
  readonly hasDown: boolean;
  readonly hasVerify: boolean;
}

type Exports = Readonly<Record<string, unknown>>;
type Update = (...args: unknown[]) => unknown;

/** File in the test's folder that orders a crash. */
export const crashFile = 'crash.json';

/** File in the test's folder that describes the migration of this name. */
export const descriptionFile = (name: string): string => `${name}.json`;

/** The exports of a migration file, with the crash that is ordered; notes down what they are. */
export function interrupted(file: Exports, folder: string, name: string): Exports {
  const inner = file['default'];
  // Its own: jiti shows those of a default export as well, bound, without the mark of `setBased`.
  const hasNamed = ['select', 'update', 'up'].some((one) => Object.hasOwn(file, one));
  const exports = hasNamed || typeof inner !== 'object' ? file : (inner as Exports);
  const { down } = exports;
  const description: Described = {
    kind: exports['up'] === undefined ? 'data' : 'schema',
    hasDown: down !== undefined,
    hasVerify: exports['verify'] !== undefined,
  };
  writeFileSync(path.join(folder, descriptionFile(name)), JSON.stringify(description));
  const crash = orderedCrash(folder);
  if (crash === null || description.kind === 'schema') return { ...exports };
  const dying = (update: unknown): unknown => {
    if (typeof update !== 'function') return update;
    return crash === 'rollbacks' ? rolledBack(update as Update) : dyingIn(update as Update, crash);
  };
  const steps =
    typeof down === 'object' && down !== null
      ? { down: { ...down, update: dying((down as Exports)['update']) } }
      : {};
  return { ...exports, update: dying(exports['update']), ...steps };
}

function orderedCrash(folder: string): Mishap | null {
  try {
    return JSON.parse(readFileSync(path.join(folder, crashFile), 'utf8')) as Mishap;
  } catch {
    return null;
  }
}

/** A proxy, so that the mark of `setBased` stays. */
function dyingIn(update: Update, { call, at }: Crash): Update {
  let calls = 0;
  return new Proxy(update, {
    apply: async (target, self, args) => {
      calls += 1;
      if (calls === call && at === 'beginning') die();
      const result: unknown = await Reflect.apply(target, self, args);
      if (calls === call) die();
      return result;
    },
  });
}

// Enough to see what they do; each costs a wait.
const mostRollbacks = 10;

/** The first try of a chunk ends with an error that passes, as a deadlock does. */
function rolledBack(update: Update): Update {
  let rollbacks = 0;
  return new Proxy(update, {
    apply: async (target, self, args) => {
      const result: unknown = await Reflect.apply(target, self, args);
      const [db] = args.filter((one) => typeof one === 'function') as { raw(sql: string): unknown }[];
      const { attempt } = args[2] as { readonly attempt: number };
      if (attempt > 1 || rollbacks >= mostRollbacks) return result;
      rollbacks += 1;
      return await db?.raw(
        `do $$ begin raise exception 'testMigration rolls back' using errcode = '40001'; end $$`,
      );
    },
  });
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
  // No statement may slip out before the signal arrives.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
