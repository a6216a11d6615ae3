import { type ArgValue, type ArgValues, argVariable } from '../../core/config/args.ts';
import { keepSecret, stripControls } from '../../core/errors/redact.ts';
import { didYouMean } from '../../core/values/names.ts';
import { fail } from '../../errors.ts';
import type { Arg } from '../contract/contract.ts';

/** An argument as its migration declares it. */
export interface DeclaredArg {
  readonly name: string;
  readonly type: NonNullable<Arg['type']>;
  readonly description: string | null;
  readonly isRequired: boolean;
  readonly isSecret: boolean;
  readonly default: ArgValue | null;
  /** Null: any value of its type. */
  readonly choices: readonly ArgValue[] | null;
}

interface ArgType {
  readonly expected: string;
  /** Undefined: the text is no such value. */
  readonly parse: (text: string) => ArgValue | undefined;
  /** For whoever looks at `select` without values. */
  readonly sample: ArgValue;
}

const day = String.raw`\d{4}-\d\d-\d\d`;
const time = new RegExp(
  String.raw`^${day}[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d(?::?\d\d)?)$`,
  'i',
);

const types: Readonly<Record<DeclaredArg['type'], ArgType>> = {
  string: { expected: 'a text', parse: (text) => text, sample: 'x' },
  number: {
    expected: 'a number, such as 0.5',
    parse: (text) => (/^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i.test(text) ? finite(Number(text)) : undefined),
    sample: 1,
  },
  integer: {
    expected: 'a whole number from -9007199254740991 to 9007199254740991',
    parse: (text) => (/^-?\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined),
    sample: 1,
  },
  boolean: {
    expected: 'true or false',
    parse: (text) =>
      ['true', '1'].includes(text) ? true : ['false', '0'].includes(text) ? false : undefined,
    sample: true,
  },
  date: {
    expected: 'a date, such as 2026-01-31',
    parse: (text) => (new RegExp(`^${day}$`).test(text) && isDay(text) ? text : undefined),
    sample: '2000-01-01',
  },
  timestamptz: {
    expected: 'a time with its zone, such as 2026-01-31T09:00:00Z',
    parse: (text) => (time.test(text) && isDay(text.slice(0, 10)) && isTime(text) ? text : undefined),
    sample: '2000-01-01T00:00:00Z',
  },
};

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

/** The 30th of February is none. */
function isDay(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

function isTime(text: string): boolean {
  return /^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d:])/.test(text.slice(11).replace(/[.Z+-].*$/i, ''));
}

const fields = ['type', 'description', 'required', 'default', 'choices', 'secret'] as const;

// The name of its variable and of a property.
const argName = /^[a-z][a-z0-9_-]{0,62}$/i;

// The hash of a shorter one, which the ledger keeps, could be guessed.
const leastSecret = 8;

/** The arguments that a file declares. Throws MIGRATION_FILE with what is wrong with one. */
export function readArgs(
  label: string,
  given: Readonly<Record<string, unknown>> = {},
): readonly DeclaredArg[] {
  const declared = Object.entries(given).map(([name, arg]) => readArg(label, name, arg));
  for (const [index, { name }] of declared.entries()) {
    const other = declared.slice(0, index).find((one) => argVariable(one.name) === argVariable(name));
    if (other === undefined) continue;
    throw fail('MIGRATION_FILE', {
      message: `${label}: the arguments "${other.name}" and "${name}" have the same variable, ${argVariable(name)}`,
      hint: 'rename one of them',
    });
  }
  return declared;
}

function readArg(label: string, name: string, given: unknown): DeclaredArg {
  const refuse = (why: string, hint?: string): Error =>
    fail('MIGRATION_FILE', { message: `${label}: options.args.${name} ${why}`, hint });
  if (!argName.test(name))
    throw refuse('is no name for an argument', 'letters, digits, _ and -, a letter first');
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refuse(`must be an object, such as { type: 'string', required: true }`);
  for (const field of Object.keys(given)) {
    if ((fields as readonly string[]).includes(field)) continue;
    throw refuse(
      `has an unknown field "${field}"${didYouMean(field, fields)}`,
      `fields: ${fields.join(', ')}`,
    );
  }
  const {
    type = 'string',
    description,
    required = false,
    secret = false,
    choices,
    default: value,
  } = given as Arg;
  if (!Object.hasOwn(types, type))
    throw refuse(
      `must have one of these types: ${Object.keys(types).join(', ')}; it is ${JSON.stringify(type)}`,
    );
  if (typeof required !== 'boolean') throw refuse('must have true or false as required');
  if (typeof secret !== 'boolean') throw refuse('must have true or false as secret');
  if (description !== undefined && typeof description !== 'string')
    throw refuse('must have a text as description');
  const isOne = (one: unknown): boolean => types[type].parse(String(one)) === one;
  if (choices !== undefined && !(Array.isArray(choices) && choices.length > 0 && choices.every(isOne)))
    throw refuse(`must have a list of values of type ${type} as choices`);
  if (value !== undefined && !(isOne(value) && (choices?.includes(value) ?? true)))
    throw refuse(
      `must have ${choices === undefined ? types[type].expected : 'one of its choices'} as default`,
    );
  if (secret && (type !== 'string' || value !== undefined || choices !== undefined))
    throw refuse(
      'is a secret: it has type string, no default and no choices',
      'a secret is given by whoever runs it',
    );
  return {
    name,
    type,
    description: description ?? null,
    isRequired: required && value === undefined,
    isSecret: secret,
    default: value ?? null,
    choices: choices ?? null,
  };
}

/** A value as it was typed. Throws USAGE where it is none of the argument's. */
export function parseArg(migration: string, arg: DeclaredArg, text: string): ArgValue {
  const { name, type, choices, isSecret } = arg;
  const { parse, expected } = types[type];
  if (isSecret && text.length < leastSecret) {
    throw fail('USAGE', {
      message: `${migration}: the secret "${name}" must have at least ${leastSecret} characters`,
      detail: 'the ledger keeps its hash, from which a shorter one could be guessed',
    });
  }
  if (isSecret) keepSecret(text);
  const value = parse(text);
  if (value !== undefined && (choices?.includes(value) ?? true)) return value;
  throw fail('USAGE', {
    message: `${migration}: the argument "${name}" must be ${choices === null ? expected : `one of ${choices.join(', ')}`}: got "${stripControls(text).slice(0, 60)}"`,
  });
}

/** Whether a value can be one of the argument's: the file may have been changed since it was recorded. */
export function fitsArg({ type, choices }: DeclaredArg, value: ArgValue): boolean {
  return types[type].parse(String(value)) === value && (choices?.includes(value) ?? true);
}

/** Values with which `select` can be looked at where nobody has given any. */
export function sampleValues(declared: readonly DeclaredArg[]): ArgValues {
  return Object.fromEntries(
    declared.map(({ name, type, default: value, choices }) => [
      name,
      value ?? choices?.[0] ?? types[type].sample,
    ]),
  );
}

/**
 * `context.args` of `select` and of `update`. A secret is no enumerable property: whoever logs all arguments leaves it out. `select` is
 * compared between hosts, by a hash, and kept: one that reads a secret is refused.
 */
export function contextsOf(
  name: string,
  declared: readonly DeclaredArg[],
  values: ArgValues,
): { readonly select: ArgValues; readonly update: ArgValues } {
  const [select, update]: [ArgValues, ArgValues] = [{}, {}];
  for (const { name: arg, isSecret } of declared) {
    if (isSecret) {
      const get = (): never => {
        throw fail('SELECT_REFUSED', {
          message: `${name}: select reads the secret "${arg}"`,
          detail: 'the ledger keeps what a select asks for',
          hint: 'read it in update; select may know only arguments that are no secret',
        });
      };
      Object.defineProperty(select, arg, { get });
    }
    if (!Object.hasOwn(values, arg)) continue;
    if (!isSecret) Object.defineProperty(select, arg, { value: values[arg], enumerable: true });
    Object.defineProperty(update, arg, { value: values[arg], enumerable: !isSecret });
  }
  return { select: Object.freeze(select), update: Object.freeze(update) };
}
