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

const requires: Check = [
  (value) => [value].flat().every((one) => parseRequirement(one) !== null),
  `'TOOL:NAME' or a list of them, such as 'prisma:20260101_init'; TOOL is one of ${otherToolNames.join(', ')}`,
];

const allowed: Readonly<Record<'data' | 'schema', Readonly<Record<string, Check>>>> = {
  data: {
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
    sweep: isFlag,
    order: [(value) => value === 'key' || value === 'physical', "'key' or 'physical'"],
    allowDelete: isFlag,
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
