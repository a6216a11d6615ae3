import type { GivenArg } from '../core/config/args.ts';
import {
  type GlobalFlag,
  argPrefix,
  globalFlags,
  unknownVariables,
  variableOf,
  variablePrefix,
  variables,
} from '../core/config/flags.ts';
import { stripControls } from '../core/errors/redact.ts';
import { didYouMean } from '../core/values/names.ts';
import { type UmzugClusterError, fail } from '../errors.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** What the environment says of flags, as if it had been typed; `problem`: the first of it that means nothing. */
export interface FlagsOfVariables {
  readonly flags: Readonly<Record<string, string | boolean>>;
  readonly problem: UmzugClusterError | null;
}

/**
 * What the environment sets of the flags of every command, or of those that are given. The settings have their own
 * variables, which `tuning.ts` reads. An empty variable counts as not set.
 */
export function flagsOfVariables(env: Env, flags: readonly GlobalFlag[] = globalFlags): FlagsOfVariables {
  let problem = unknownProblem(env);
  const found: [string, string | boolean][] = [];
  for (const flag of flags) {
    const raw = env[variableOf(flag.name)];
    if (raw === undefined || raw === '') continue;
    const value = parsed(flag, raw);
    if (value === null) problem ??= invalid(flag, raw);
    else found.push([flag.name, value]);
  }
  return { flags: Object.fromEntries(found), problem };
}

function parsed({ kind, choices }: GlobalFlag, raw: string): string | boolean | null {
  if (kind === 'switch')
    return raw === 'true' || raw === '1' ? true : raw === 'false' || raw === '0' ? false : null;
  return choices === undefined || choices.includes(raw) ? raw : null;
}

function invalid({ name, kind, choices = [] }: GlobalFlag, raw: string): UmzugClusterError {
  const allowed = kind === 'switch' ? 'true or false' : `one of ${choices.join(', ')}`;
  return fail('CONFIG', {
    message: `${variableOf(name)} must be ${allowed}: got "${stripControls(raw).slice(0, 60)}"`,
  });
}

function unknownProblem(env: Env): UmzugClusterError | null {
  const [unknown] = unknownVariables(Object.keys(env));
  if (unknown === undefined) return null;
  const [word = '', ...known] = [unknown, ...variables].map((name) => name.slice(variablePrefix.length));
  return fail('CONFIG', {
    message: `unknown variable "${stripControls(unknown)}"${didYouMean(word, known, variablePrefix)}`,
    hint: 'unset it; a variable is UMZUG_CLUSTER_ and the name of a flag of every command, as in UMZUG_CLUSTER_MAX_TIME',
  });
}

/** What `--arg` and the environment give for arguments of migrations; the first that fits an argument counts. */
export function readGivenArgs(flag: unknown, env: Env): readonly GivenArg[] {
  const typed = (flag === undefined ? [] : [flag].flat()).map((text) => argIn(String(text)));
  for (const [index, { migration, name }] of typed.entries()) {
    const isTwice = typed.slice(0, index).some((one) => one.migration === migration && one.name === name);
    if (isTwice)
      throw fail('USAGE', { message: `--arg ${name} is given more than once`, hint: 'give it once' });
  }
  // What is given for one migration counts before what is given for all.
  const ordered = typed.toSorted((one, other) => rank(one) - rank(other));
  const variables = Object.entries(env).flatMap(([name, text]) =>
    name.startsWith(argPrefix) && text !== undefined && text !== ''
      ? [{ migration: null, name, text, isVariable: true }]
      : [],
  );
  return Object.freeze([...ordered, ...variables]);
}

const rank = ({ migration }: GivenArg): number => (migration === null ? 1 : 0);

/** `name=value`, or `migration:name=value`: the name of a migration may have a colon, a value anything. */
function argIn(given: string): GivenArg {
  const end = given.indexOf('=');
  const colon = given.lastIndexOf(':', end);
  const name = given.slice(colon + 1, Math.max(end, 0));
  if (end > 0 && name !== '' && colon !== 0) {
    const migration = colon < 0 ? null : given.slice(0, colon);
    return { migration, name, text: given.slice(end + 1), isVariable: false };
  }
  throw fail('USAGE', {
    message: '--arg needs a name and a value',
    hint: 'for example --arg tenant=acme, or for one migration alone --arg MIGRATION:tenant=acme',
  });
}
