import type { Options } from 'yargs';
import * as prettier from 'prettier';
import { commands } from '../../src/commands/all.ts';
import type { Command } from '../../src/commands/frame/command.ts';
import { globalOptions } from '../../src/commands/frame/globals.ts';
import { formatDuration } from '../../src/core/config/duration.ts';
import { type FieldKind, logEvents } from '../../src/core/config/log-events.ts';
import { notifyEvents } from '../../src/core/config/notify-events.ts';
import { type Setting, settings } from '../../src/core/config/settings.ts';
import { exitCodes, exitMeanings } from '../../src/errors.ts';

/** What of `docs/reference.md` is told by the code, by the name of its place there. */
export const parts: Readonly<Record<string, () => string>> = {
  commands: () => commands.map(command).join('\n\n'),
  'global flags': () => flags(globalOptions),
  settings: () =>
    table(['setting', 'flag', 'variable', 'unit', 'bounds', 'default', 'why'], settings.map(setting)),
  'exit codes': () => table(['exit code', 'meaning', '`error.code` of `--json`'], exitMeanings.map(exit)),
  'notify events': () =>
    table(
      ['event', 'told when'],
      Object.entries(notifyEvents).map(([name, when]) => [`\`${name}\``, when]),
    ),
  events: () => table(['event', 'level', 'one record when', 'fields'], Object.entries(logEvents).map(event)),
};

/** A page with what the code says in its places, formatted. */
export async function renderReference(reference: string): Promise<string> {
  let text = reference;
  for (const [, name = ''] of reference.matchAll(/<!-- from the code: (.*?) -->/g)) {
    const render = parts[name];
    if (render === undefined) throw new Error(`the code has nothing to say about ${name}`);
    const place = new RegExp(`(<!-- from the code: ${name} -->\n)[^]*?(<!-- end -->)`);
    text = text.replace(place, (_all, begin: string, end: string) => `${begin}\n${render()}\n\n${end}`);
  }
  const options = (await prettier.resolveConfig(import.meta.filename)) ?? {};
  return await prettier.format(text, { ...options, parser: 'markdown' });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function command({ command: usage, describe, options }: Command): string {
  const title = `### umzug-cluster ${usage.replaceAll('<migration>', 'NAME').replaceAll('[name]', '[NAME]')}`;
  const own = Object.keys(options).length === 0 ? '' : `\n\n${flags(options)}`;
  return `${title}\n\n${sentence(describe)}${own}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function flags(options: Readonly<Record<string, Options>>): string {
  return table(
    ['flag', 'takes', 'does'],
    Object.entries(options).map(([name, { type, choices, describe }]) => [
      `\`--${name}\``,
      type === 'boolean' ? '' : (choices?.map((choice) => `\`${String(choice)}\``).join(', ') ?? 'a value'),
      describe ?? '',
    ]),
  );
}

function setting(one: Setting): readonly string[] {
  const flag = one.flag === null ? '' : `\`--${one.flag}\``;
  return [`\`${one.name}\``, flag, `\`${one.env}\``, one.unit, bounds(one), defaultOf(one), one.reason];
}

function bounds(one: Setting): string {
  if (one.kind === 'switch') return '';
  if (one.kind === 'duration') return `${one.min} ms to ${formatDuration(one.max)}`;
  return `${one.min} to ${one.max}`;
}

function defaultOf({ default: value }: Setting): string {
  if (value === null) return 'off';
  return value === 'cores' ? 'the cores' : String(value);
}

function exit({ codes, meaning }: (typeof exitMeanings)[number]): readonly string[] {
  const errors = Object.entries(exitCodes).filter(([, code]) => codes.includes(code));
  return [codes.join(', '), meaning, errors.map(([name]) => `\`${name}\``).join(', ')];
}

function event([name, { level, when, fields }]: [
  string,
  (typeof logEvents)[keyof typeof logEvents],
]): readonly string[] {
  const kinds = Object.entries<FieldKind>(fields).map(([field, kind]) => `\`${field}\`: ${kind}`);
  return [`\`${name}\``, level, when, kinds.join(', ')];
}
