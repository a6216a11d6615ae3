import type { Options } from 'yargs';
import { steerable } from '../../core/config/steering.ts';
import type { Command } from './command.ts';

/** What completion knows: the commands, the flags of all of them, and how to look migrations up. */
export interface Completions {
  readonly commands: readonly Command[];
  readonly globals: Readonly<Record<string, Options>>;
  /** Names of migrations; asked for only where one may stand. */
  readonly names: () => Promise<readonly string[]>;
}

/**
 * What may be in place of the last of these words of a command line, the program's name left out. Candidates begin
 * with it; the name of a migration, which begins with a time that nobody types, may also have it anywhere.
 */
export async function completed(words: readonly string[], known: Completions): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const verb = before.find((word, at) => !word.startsWith('-') && !takesValue(before[at - 1], known.globals));
  const command = known.commands.find((one) => verbOf(one) === verb);
  const options = { ...known.globals, ...command?.options };
  const found = await candidates();
  const matching = found.filter((one) => one.startsWith(current));
  return matching.length > 0 ? matching : found.filter((one) => current !== '' && one.includes(current));

  async function candidates(): Promise<readonly string[]> {
    const last = before.at(-1) ?? '';
    if (takesValue(last, options)) return await valuesOf(last.slice(2));
    if (current.startsWith('-')) return [...Object.keys(options), 'help'].map((name) => `--${name}`);
    if (command === undefined) return known.commands.map(verbOf);
    return await positionals(command);
  }

  async function valuesOf(name: string): Promise<readonly string[]> {
    const isName = command?.names !== 'new' && (name === 'name' || name === 'to');
    return isName ? await known.names() : (options[name]?.choices ?? []).map(String);
  }

  async function positionals({ command: usage, words: own = [] }: Command): Promise<readonly string[]> {
    const given = before.slice(before.indexOf(usage.split(' ')[0] ?? '') + 1);
    const isFirst = given.every((word, at) => word.startsWith('-') || takesValue(given[at - 1], options));
    if (isFirst && /[<[](?:migration|name)[\]>]/.test(usage)) return await known.names();
    if (usage.includes('<settings..>')) return steerable.map((name) => `${name}=`);
    return isFirst ? own : [];
  }
}

function takesValue(word: string | undefined, options: Completions['globals']): boolean {
  return word?.startsWith('--') === true && options[word.slice(2)]?.type === 'string';
}

function verbOf({ command }: Command): string {
  return command.split(' ')[0] ?? command;
}
