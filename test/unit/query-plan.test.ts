import { describe, expect, it } from 'vitest';
import { formatBytes } from '../../src/core/values/numbers.ts';
import { type Observed, warningsOf } from '../../src/migrator/plan/warnings.ts';
import { planLines, readPlan, sorts, wholeScans } from '../../src/core/plan/query-plan.ts';

const scan = { 'Node Type': 'Seq Scan', 'Relation Name': 't', Schema: 'public', 'Plan Rows': 9 };
const index = { ...scan, 'Node Type': 'Index Scan', 'Index Name': 't_pkey' };
const explained = (plan: object): unknown => [{ Plan: plan }];
const limited = (inner: object): unknown =>
  explained({ 'Node Type': 'Limit', 'Plan Rows': 3, Plans: [inner] });

describe('a plan of Postgres', () => {
  it('is read from JSON or its text, and shown without its conditions', () => {
    const document = limited({ ...index, Filter: `(secret = 'x')` });
    const plan = readPlan(document);
    expect(plan).toEqual(readPlan(JSON.stringify(document)));
    expect(plan === null ? null : planLines(plan)).toEqual(['Limit', '  Index Scan using t_pkey on t']);
    expect(readPlan([])).toBeNull();
  });

  it('names a statement that writes by what it does', () => {
    const update = { 'Node Type': 'ModifyTable', Operation: 'Update', 'Relation Name': 't', Plans: [index] };
    const plan = readPlan(explained(update));
    expect(plan === null ? null : planLines(plan)[0]).toBe('Update on t');
  });
});

const writes = {
  oid: '1',
  ancestors: [],
  table: 'public.t',
  inserted: 0,
  updated: 100,
  hot: 100,
  deleted: 0,
};
const calm: Observed = {
  base: { oid: '1', name: 't', key: [{ name: 'id', type: 'int4', attnum: 1, collation: '' }] },
  tableRows: 1_000_000,
  unanalyzed: [],
  matching: 900_000,
  largeTables: ['t'],
  rows: 100,
  statements: [
    { sql: '', times: 1, plan: readPlan(limited(index)) },
    { sql: '', times: 1, plan: readPlan(explained(index)) },
  ],
  writes: [writes],
  changed: ['n'],
  missing: 0,
  indexes: [],
  triggers: [],
  foreignKeys: [],
  locks: [],
  ownConnections: 0,
  parted: null,
  undo: null,
};

describe('warnings of a plan', () => {
  it('are none where there is nothing to say', () => {
    expect(warningsOf(calm)).toEqual([]);
  });

  it.each<[string, Partial<Observed>, RegExp]>([
    [
      'a scan in every chunk',
      { statements: [{ sql: '', times: 1, plan: readPlan(limited(scan)) }] },
      /reads all of "t"/,
    ],
    [
      'a sort in every chunk',
      {
        statements: [{ sql: '', times: 1, plan: readPlan(limited({ 'Node Type': 'Sort', Plans: [index] })) }],
      },
      /sorts all matching rows by the key \(id\)/,
    ],
    [
      'an update that looks up without an index',
      {
        largeTables: ['t', 'other'],
        statements: [
          ...calm.statements,
          { sql: '', times: 1, plan: readPlan(explained({ ...scan, 'Relation Name': 'other' })) },
        ],
      },
      /every chunk reads all of "other": it lacks an index on the columns/,
    ],
    [
      'few rows that match',
      {
        matching: 500,
        statements: [{ sql: '', times: 1, plan: readPlan(limited({ ...index, Filter: 'n' })) }],
      },
      /about 2000 are read for each/,
    ],
    [
      'columns without statistics',
      { unanalyzed: ['slug'], matching: 500 },
      /no statistics on "slug".*run analyze first/,
    ],
    [
      'a statement a row',
      { statements: [...calm.statements, { sql: '', times: 100, plan: null }] },
      /updateRows/,
    ],
    [
      'a changed column with an index',
      { writes: [{ ...writes, hot: 0 }], indexes: ['t_n'] },
      /no HOT update\), since t_n holds/,
    ],
    ['triggers', { triggers: ['x', 'y'] }, /triggers fire in every chunk: x, y$/],
    ['foreign keys', { foreignKeys: ['t_fkey'] }, /t_fkey/],
    ['locks', { locks: ['ShareLock on public.t'] }, /update takes ShareLock on public\.t/],
    ['a connection of its own', { ownConnections: 1 }, /its own connection/],
    [
      'another result in two chunks',
      { parted: ['n'] },
      /in two chunks than in one: column "n"; .*"Numbers and ranks"/,
    ],
    ['other rows that two chunks leave', { parted: [] }, /than in one: rows that are left in "t"/],
    ['nothing written', { writes: [], changed: [] }, /wrote nothing/],
  ])('tell of %s', (_what, observed, expected) => {
    expect(warningsOf({ ...calm, ...observed })).toEqual([expect.stringMatching(expected)]);
  });

  it('leave small tables alone', () => {
    const statements = [
      { sql: '', times: 1, plan: readPlan(limited({ 'Node Type': 'Sort', Plans: [scan] })) },
    ];
    expect(warningsOf({ ...calm, largeTables: [], statements, matching: 1 })).toEqual([]);
    expect([scan, index].map((node) => wholeScans(readPlan(explained(node)) ?? never()).length)).toEqual([
      1, 0,
    ]);
    expect(sorts(readPlan(explained(scan)) ?? never())).toBe(false);
  });
});

function never(): never {
  throw new Error('no plan was read');
}

describe('an amount of bytes', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1_500, '1.5 kB'],
    [19_000_000, '19 MB'],
    [2e15, '2000 TB'],
  ])('of %d is told as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
