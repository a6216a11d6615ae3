import { type Patch, withoutRowLocks } from '../test/support/product-copy.ts';
import type { Style } from './project.ts';

/** What a chunk does only to be safe, and a copy of the product that leaves it out. For measuring, never for use. */
export interface Protection {
  readonly name: string;
  /** Where it is at work: a set takes its own locks, and gives no rows to look at. */
  readonly styles: readonly Style[];
  readonly without: readonly Patch[];
}

export const protections: readonly Protection[] = [
  {
    name: 'commit guard',
    styles: ['rows', 'set'],
    without: [
      {
        file: 'ledger/run/chunks.js',
        from: 'insert into ${this.names.guardOpen} (token) select $3::uuid from own',
        to: 'select $3::uuid',
      },
      {
        file: 'ledger/run/chunks.js',
        from: 'delete from ${this.names.guardOpen} where token = $3::uuid returning 1',
        to: 'select $3::uuid',
      },
    ],
  },
  {
    name: 'row locks',
    styles: ['rows'],
    without: withoutRowLocks,
  },
  {
    name: 'timers and pinned settings',
    styles: ['rows', 'set'],
    without: [
      {
        file: 'run/context/environment.js',
        from: 'const settings = pinned(config.tuning, server)',
        to: "const settings = 'select 1'",
      },
    ],
  },
  {
    name: 'keys counted again',
    styles: ['rows'],
    without: [
      {
        file: 'run/chunk/write-counters.js',
        from: 'if (keys.length === 0)\n        return 0',
        to: 'return keys.length',
      },
      {
        file: 'run/chunk/write-counters.js',
        from: 'export async function readWriteCounters(session, { oid, isPartitioned }) {',
        to: 'export async function readWriteCounters() { return noWrites;',
      },
    ],
  },
  {
    name: 'doubled rows looked for',
    styles: ['rows'],
    without: [{ file: 'run/chunk/batch.js', from: 'const isSame =', to: 'return; const isSame =' }],
  },
];
