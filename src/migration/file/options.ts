import { didYouMean } from '../../core/values/names.ts';
import { otherToolNames, parseRequirement } from '../../core/values/other-tools.ts';
import { fail } from '../../errors.ts';
import type { Options, SchemaOptions } from '../contract/contract.ts';

type Check = readonly [isValid: (value: unknown) => boolean, expected: string];

const between =
  (min: number, max: number) =>
  (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
const isFlag: Check = [(value) => typeof value === 'boolean', 'true or false'];

function isUndo(value: unknown): boolean {
  if (typeof value === 'boolean') return true;
  if (typeof value !== 'object' || value === null) return false;
  const { keepDays, ...others } = value as Readonly<Record<string, unknown>>;
  return Object.keys(others).length === 0 && between(1, 36_500)(keepDays);
}

const args: Check = [
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  "an object of arguments, such as { tenant: { type: 'string', required: true } }",
];

const requires: Check = [
  (value) => [value].flat().every((one) => parseRequirement(one) !== null),
  `'TOOL:NAME' or a list of them, such as 'prisma:20260101_init'; TOOL is one of ${otherToolNames.join(', ')}`,
];

const allowed: Readonly<Record<'data' | 'schema', Readonly<Record<string, Check>>>> = {
  data: {
    args,
    key: [
      (value) =>
        Array.isArray(value) &&
        value.length > 0 &&
        value.every((name) => typeof name === 'string' && name !== '') &&
        new Set(value).size === value.length,
      "a list of distinct column names, such as ['id']",
    ],
    chunkSize: [between(1, 1_000_000), 'a whole number from 1 to 1000000'],
    targetMs: [between(1, 60_000), 'a whole number of milliseconds from 1 to 60000'],
    weigh: [
      (value) => typeof value === 'function' || (typeof value === 'string' && value !== ''),
      'the name of a column of select, or a function: (db) => a query for the weight of one row',
    ],
    sweep: isFlag,
    order: [(value) => ['auto', 'key', 'physical'].includes(value as string), "'auto', 'key' or 'physical'"],
    analyze: isFlag,
    vacuum: isFlag,
    allowDelete: isFlag,
    undo: [isUndo, 'true, false or { keepDays: 30 }, a whole number from 1 to 36500'],
    allowNoQueries: isFlag,
    requires,
  },
  schema: { transaction: isFlag, requires },
};

/** Checks a file's `options`: unknown names and wrong values are refused, by name. Throws MIGRATION_FILE. */
export function readOptions(label: string, kind: 'data' | 'schema', given: unknown): Options & SchemaOptions {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw fail('MIGRATION_FILE', { message: `${label}: options must be an object` });
  }
  const checks = allowed[kind];
  for (const [name, value] of Object.entries(given)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (check === undefined) {
      throw fail('MIGRATION_FILE', {
        message: `${label}: unknown option "${name}"${didYouMean(name, Object.keys(checks))}`,
        detail: `options of a ${kind} migration: ${Object.keys(checks).join(', ')}`,
      });
    }
    if (value !== undefined && !check[0](value)) {
      throw fail('MIGRATION_FILE', { message: `${label}: options.${name} must be ${check[1]}` });
    }
  }
  return given as Options & SchemaOptions;
}
