import type { Argv } from 'yargs';
import { didYouMean, nearest } from '../../core/values/names.ts';
import { settings } from '../../core/config/settings.ts';
import { fail } from '../../errors.ts';
import type { UmzugClusterError } from '../../errors.ts';
import { type Command, repeatedError } from './command.ts';

/**
 * yargs draws the help of every command that it runs, in case it is asked for later: 8 ms of each start. Nothing
 * asks for it later; `--help` draws its own.
 */
export function drawHelpOnDemand(parser: Argv): void {
  const { getInternalMethods } = parser as {
    readonly getInternalMethods?: () => { getUsageInstance(): { cacheHelpMessage(): void } };
  };
  const usage = getInternalMethods?.call(parser).getUsageInstance();
  if (usage !== undefined) usage.cacheHelpMessage = () => undefined;
}

const nameless = new WeakSet<Error>();

/** Whether it is the refusal of a command that needs the name of a migration and was given none. */
export function isNameless(thrown: unknown): thrown is UmzugClusterError {
  return thrown instanceof Error && nameless.has(thrown);
}

/** Turns what yargs says about a wrong command line into one message with the nearest match. */
export function usageError(
  message: string,
  args: readonly string[],
  commands: readonly Command[],
  globalFlags: readonly string[],
): UmzugClusterError {
  const verbs = commands.map(verbOf);
  const command = commands.find((candidate) => args.includes(verbOf(candidate)));
  const verb = command === undefined ? undefined : verbOf(command);
  const hint = `umzug-cluster ${verb === undefined ? '' : `${verb} `}--help`;
  if (command !== undefined && message.startsWith('Not enough non-option arguments')) {
    const isSet = verb === 'set';
    const problem = fail('USAGE', {
      message: isSet ? 'set needs a name and key=value' : `${verb} needs a name`,
      hint: `umzug-cluster ${verb} NAME${isSet ? ' pace=2000' : ''}`,
    });
    nameless.add(problem);
    return problem;
  }
  const unknown = /^Unknown (?:arguments?|commands?): (.*)$/s.exec(message)?.[1];
  if (unknown === undefined) {
    const known = Object.keys(command?.options ?? {});
    const word = verb === undefined ? undefined : wordBehind(verb, args);
    const instead = word === undefined ? undefined : command?.insteadOf?.(word);
    return fail('USAGE', { message: plain(message, [...globalFlags, ...known]), hint: instead ?? hint });
  }
  // yargs names a flag a second time in camel case.
  const names = unknown.split(', ').map((name) => name.trim());
  const name = names.find((candidate) => isFlag(candidate, args)) ?? names[0] ?? '';
  if (!isFlag(name, args)) return unknownWord(name, command, verbs, hint);
  const flags = [...globalFlags, ...Object.keys(command?.options ?? {}), 'help', 'version'];
  // `-workers`: yargs reads nine flags of one letter.
  const long = args.find((arg) => /^-[^-]./.test(arg) && !/^-\d/.test(arg));
  if (long !== undefined && name.length === 1 && long.slice(1).includes(name)) {
    const meant = didYouMean(long.slice(1).split('=')[0] ?? '', flags, '--');
    if (meant !== '') return fail('USAGE', { message: `unknown flag "${long}"${meant}`, hint });
  }
  const dashes = name.length === 1 ? '-' : '--';
  return (
    knownMistake(name, verb, hint) ??
    fail('USAGE', {
      message: `unknown flag "${dashes}${name}"${didYouMean(name, flags, '--')}`,
      hint,
    })
  );
}

/**
 * Refuses what stands behind `--`, which yargs would ignore; `--json=5`, which it would read as false; and a switch
 * that is repeated, of which it would take the last.
 */
export function refuseWhatYargsPassesOver(
  args: readonly string[],
  commands: readonly Command[],
  globals: Command['options'],
): void {
  const rest = args.indexOf('--');
  if (rest >= 0) {
    const hint = 'no command takes arguments after --';
    throw fail('USAGE', { message: `unexpected "${args.slice(rest).join(' ')}"`, hint });
  }
  const options = Object.assign(
    {},
    ...commands.map((command) => command.options),
    globals,
  ) as Command['options'];
  const given = new Set<string>();
  for (const arg of args) {
    const [, name = '', value = 'true'] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (options[name]?.type !== 'boolean') continue;
    if (given.has(name)) throw repeatedError(name);
    given.add(name);
    if (value === 'true' || value === 'false') continue;
    throw fail('USAGE', { message: `--${name} takes no value: got "${value}"`, hint: `give just --${name}` });
  }
}

/** The first word behind the verb that is no flag. */
function wordBehind(verb: string, args: readonly string[]): string | undefined {
  const next = args[args.indexOf(verb) + 1];
  return next === undefined || next.startsWith('-') ? undefined : next;
}

/** What other tools call a command. */
const otherWords: Readonly<Record<string, string>> = {
  version: '--version',
  migrate: 'up',
  latest: 'up',
  run: 'up',
  rollback: 'down',
  revert: 'down',
  undo: 'down',
  list: 'status',
  make: 'create --name NAME',
  generate: 'create --name NAME',
  new: 'create --name NAME',
};

function unknownWord(
  given: string,
  command: Command | undefined,
  verbs: readonly string[],
  hint: string,
): UmzugClusterError {
  // yargs writes quotes for a word that is empty.
  const word = given === '""' ? '' : given;
  if (command === undefined) {
    const other = otherWords[word.toLowerCase()];
    const known = nearest(word, verbs) === null ? `the commands are ${verbs.join(', ')}` : undefined;
    return fail('USAGE', {
      message: `unknown command "${word}"${other === undefined ? didYouMean(word, verbs) : ''}`,
      detail: other === undefined ? known : undefined,
      hint: other === undefined ? hint : `umzug-cluster ${other}`,
    });
  }
  return fail('USAGE', {
    message: `${verbOf(command)} does not take the argument "${word}"`,
    hint: mistakenWord(word, verbs) ?? command.insteadOf?.(word) ?? hint,
  });
}

function mistakenWord(word: string, verbs: readonly string[]): string | null {
  if (word.trim() === '') return 'it is empty: is a shell variable not set?';
  if (/^[\u2010-\u2015\u2212]/u.test(word)) return 'a flag starts with two hyphens; these are dashes';
  return verbs.includes(word) ? `give one command at a time: umzug-cluster ${word}` : null;
}

/** `--dry-run`, which is a command here; and `--no-workers`: yargs would make it 0. */
function knownMistake(name: string, verb: string | undefined, hint: string): UmzugClusterError | null {
  if (name === 'dry-run') {
    return fail('USAGE', {
      message: 'unknown flag "--dry-run": a plan runs samples and rolls them back',
      hint: verb === 'down' ? 'umzug-cluster down --plan' : 'umzug-cluster plan',
    });
  }
  const setting = settings.find(({ flag }) => flag !== null && name === `no-${flag}`);
  if (setting === undefined || setting.kind === 'switch') return null;
  const range =
    setting.kind === 'duration' ? 'a duration' : `a whole number from ${setting.min} to ${setting.max}`;
  return fail('USAGE', { message: `unknown flag "--${name}": --${setting.flag} takes ${range}`, hint });
}

function plain(message: string, flags: readonly string[]): string {
  const missing = /^Not enough arguments following: (.+)$/.exec(message)?.[1];
  if (missing !== undefined) return `--${missing} needs a value`;
  const required = /^Missing required arguments?: (.+)$/.exec(message)?.[1];
  if (required !== undefined)
    return `${required
      .split(', ')
      .map((name) => `--${name}`)
      .join(', ')} is required`;
  const choice = /Argument: ([^,]+), Given: (.*), Choices: (.*)$/s.exec(message);
  if (choice !== null) {
    const [, flag = '', given = '', choices = ''] = choice;
    const known = choices.replaceAll('"', '').split(', ');
    const label = flags.includes(flag) ? `--${flag}` : flag;
    return `${label} must be one of ${known.join(', ')}: got ${given.trim()}${didYouMean(given.replaceAll('"', ''), known)}`;
  }
  const first = message.split('\n')[0] ?? message;
  return first.charAt(0).toLowerCase() + first.slice(1);
}

function verbOf({ command }: Command): string {
  return command.split(' ')[0] ?? command;
}

function isFlag(name: string, args: readonly string[]): boolean {
  const rest = args.indexOf('--');
  return (rest < 0 ? args : args.slice(0, rest)).some(
    (arg) =>
      arg === `--${name}` ||
      arg.startsWith(`--${name}=`) ||
      (/^-[^-]/.test(arg) && arg.slice(1).includes(name)),
  );
}
