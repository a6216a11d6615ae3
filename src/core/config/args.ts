import { argPrefix } from './flags.ts';

/** A value of an argument that a migration declares (`options.args`). */
export type ArgValue = string | number | boolean;

/** Values by name. One that is optional and was not given is not there. */
export type ArgValues = Readonly<Record<string, ArgValue>>;

/** A value that somebody gives for an argument, as it was typed. */
export interface GivenArg {
  /** The migration that it is for, or a part of its name; null: all that declare the argument. */
  readonly migration: string | null;
  /** Of the argument; of a variable: the variable's. */
  readonly name: string;
  readonly text: string;
  readonly isVariable: boolean;
}

/** What a run keeps of its arguments: of a secret no more than a hash with its salt. */
export interface RecordedArgs {
  readonly values: ArgValues;
  readonly secrets: Readonly<Record<string, string>>;
}

/** The variable of an argument: `UMZUG_CLUSTER_ARG_API_KEY` for `apiKey` and for `api-key`. */
export function argVariable(name: string): string {
  return `${argPrefix}${name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase()}`;
}

/** Whether a value is meant for an argument of this name. */
export function isFor(given: GivenArg, name: string): boolean {
  return given.name === (given.isVariable ? argVariable(name) : name);
}

/** What to type to give a value. A secret does not belong on a command line, where others on the host can read it. */
export function howToGive({ name, isSecret }: { readonly name: string; readonly isSecret: boolean }): string {
  return isSecret ? `set ${argVariable(name)}` : `add --arg ${name}=VALUE, or set ${argVariable(name)}`;
}
