import type { Argv, CommandModule, Options } from 'yargs';
import { fail } from '../../errors.ts';
import type { Io } from './output.ts';

/** Parsed flags and positionals of one command. */
export type Arguments = Readonly<Record<string, unknown>>;

/** One verb of the command line, light enough to be loaded on every start. */
export interface Command {
  /** As yargs reads it: `status [name]`. */
  readonly command: string;
  readonly describe: string;
  readonly options: Readonly<Record<string, Options>>;
  /** Command lines with what they do; shown by `--help`. */
  readonly examples: readonly (readonly [string, string])[];
  /** Texts for positionals, by name. */
  readonly positionals?: Readonly<Record<string, string>>;
  /** What to type instead of an argument this command does not take. */
  readonly insteadOf?: (argument: string) => string;
  /** `new`: the name that it is given is that of no migration yet. */
  readonly names?: 'new';
  /** What its first argument may be, where that is no name. */
  readonly words?: readonly string[];
  /** Flags of which at most one may be given. */
  readonly exclusive?: readonly string[];
  /** Does the work; imports what is heavy. Throws UmzugClusterError. */
  run(flags: Arguments, io: Io): Promise<void>;
}

/** A flag that takes a text; numbers too, for yargs turns `abc` into NaN and `--no-x` into 0 in silence. */
export function valueFlag(describe: string, more: Options = {}): Options {
  return { type: 'string', requiresArg: true, describe, ...more };
}

/** A flag that is there or not. */
export function switchFlag(describe: string): Options {
  return { type: 'boolean', describe };
}

/** Of commands that load migrations. */
export const argFlag: Readonly<Record<string, Options>> = {
  arg: valueFlag(
    'value of an argument that migrations declare: NAME=VALUE or MIGRATION:NAME=VALUE (repeatable)',
  ),
};

/** Of commands that run migrations, where the knexfile has targets. */
export const targetFlags: Readonly<Record<string, Options>> = {
  'targets-first': valueFlag(
    'of several targets run so many first, and the others only if all of these succeed',
  ),
  'fail-fast': switchFlag('of several targets start no more after one that fails'),
};

const repeatable: ReadonlySet<string> = new Set(['past', 'arg', 'from-key', 'to-key']);

/** A flag that may be repeated; one that excludes others names migrations, another one a new file. */
const isRepeatable = (flag: string, { exclusive }: Command): boolean =>
  repeatable.has(flag) || (flag === 'name' && exclusive?.includes(flag) === true);

/** The yargs module of a command; flags are checked here before `run` sees them. */
export function toYargs(
  command: Command,
  globals: Readonly<Record<string, Options>>,
  run: (flags: Arguments) => Promise<void>,
): CommandModule {
  return {
    command: command.command,
    describe: command.describe,
    builder: (yargs: Argv) => describeTo(yargs, command),
    handler: async (flags) => {
      checkFlags(flags, { ...globals, ...command.options }, command);
      await run(flags);
    },
  };
}

function describeTo(yargs: Argv, command: Command): Argv {
  let described = yargs.options(command.options).group(Object.keys(command.options), 'Flags:');
  for (const [name, describe] of Object.entries(command.positionals ?? {})) {
    described = described.positional(name, { type: 'string', describe });
  }
  for (const [line, does] of command.examples) described = described.example(`$0 ${line}`, does);
  return described;
}

/** The refusal of a flag that is given more than once. */
export function repeatedError(name: string): Error {
  return fail('USAGE', { message: `--${name} is given more than once`, hint: `give --${name} once` });
}

function checkFlags(flags: Arguments, options: Readonly<Record<string, Options>>, command: Command): void {
  for (const [name, { type }] of Object.entries(options)) {
    const value = flags[name];
    if (Array.isArray(value) && !isRepeatable(name, command)) {
      throw repeatedError(name);
    }
    const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (type === 'string' && texts.includes(''))
      throw fail('USAGE', {
        message: `--${name} needs a value`,
        hint: `give --${name} VALUE, or leave it out`,
      });
  }
  const given = (command.exclusive ?? []).filter((name) => flags[name] !== undefined);
  if (given.length > 1) {
    const names = given.map((name) => `--${name}`).join(' and ');
    throw fail('USAGE', { message: `${names} cannot be combined`, hint: 'give only one of them' });
  }
}

/** A whole number of at least 1, or undefined where the flag is not given. */
export function positiveCount(flags: Arguments, name: string): number | undefined {
  const raw = flags[name];
  if (raw === undefined) return undefined;
  const value = typeof raw === 'string' && /^\d{1,6}$/.test(raw) ? Number(raw) : 0;
  if (value >= 1) return value;
  throw fail('USAGE', {
    message: `--${name} must be a whole number from 1 to 999999: got "${String(raw)}"`,
    hint: `for example --${name} 1`,
  });
}

/** The text of a flag, or undefined where it is not given. */
export function textOf(flags: Arguments, name: string): string | undefined {
  const raw = flags[name];
  return typeof raw === 'string' ? raw : undefined;
}

/** All values of a repeatable flag, or undefined where it is not given. */
export function textsOf(flags: Arguments, name: string): readonly string[] | undefined {
  const raw = flags[name];
  if (raw === undefined) return undefined;
  return (Array.isArray(raw) ? raw : [raw]).map(String);
}
