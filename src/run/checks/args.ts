import { randomBytes, scryptSync } from 'node:crypto';
import { type ArgValues, type RecordedArgs, argVariable } from '../../core/config/args.ts';
import { fail } from '../../errors.ts';
import type { Run } from '../../ledger/run/rows.ts';
import type { DeclaredArg } from '../../migration/file/args.ts';

/** A migration with its arguments. */
export interface WithArgs {
  readonly declared: readonly DeclaredArg[];
  readonly values: ArgValues;
}

const hashBytes = 32;

function hashed(secret: string, salt = randomBytes(16).toString('hex')): string {
  return `${salt}:${scryptSync(secret, salt, hashBytes).toString('hex')}`;
}

/** Whether it is the secret of which this is the hash. */
function isSameSecret(secret: string, recorded: string): boolean {
  return hashed(secret, recorded.split(':')[0]) === recorded;
}

/** What a run keeps of the arguments of its migration. */
export function recordedArgs({ declared, values }: WithArgs): RecordedArgs {
  const known = declared.filter(({ name }) => Object.hasOwn(values, name));
  const of = (isSecret: boolean): readonly string[] =>
    known.filter((arg) => arg.isSecret === isSecret).map(({ name }) => name);
  return {
    values: Object.fromEntries(of(false).map((name) => [name, values[name] ?? ''])),
    secrets: Object.fromEntries(of(true).map((name) => [name, hashed(String(values[name]))])),
  };
}

/** What the history says of the arguments of a run. */
export function shownArgs({ plan: { args } }: Pick<Run, 'plan'>): { readonly args?: ArgValues } {
  if (args === undefined) return {};
  const secrets = Object.keys(args.secrets).map((name) => [name, '***'] as const);
  return { args: { ...args.values, ...Object.fromEntries(secrets) } };
}

/** The first argument whose value is not the one that a run has recorded, or null. */
export function otherArg({ plan }: Pick<Run, 'plan'>, { declared, values }: WithArgs): DeclaredArg | null {
  const { args } = plan;
  if (args === undefined) return null;
  const isOther = ({ name, isSecret }: DeclaredArg): boolean => {
    const value = values[name];
    const hash = args.secrets[name];
    if (!isSecret) return value !== args.values[name];
    return value === undefined || hash === undefined ? value !== hash : !isSameSecret(String(value), hash);
  };
  return declared.find(isOther) ?? null;
}

/** Refuses values that are not those with which a run began: each of its chunks has the same, on every host. */
export function refuseOtherArgs(run: Run, migration: WithArgs): void {
  const other = otherArg(run, migration);
  if (other === null) return;
  const { name, direction } = run;
  const isUp = direction === 'up';
  const recorded = run.plan.args?.values[other.name];
  const [its, own] = [recorded, migration.values[other.name]].map((value) =>
    value === undefined ? 'no value' : JSON.stringify(value),
  );
  const without = `leave out --arg ${other.name} and ${argVariable(other.name)}: the recorded value is taken`;
  const restart = `; to begin again with another one, roll back first: umzug-cluster down --name ${name}`;
  throw fail('DRIFT', {
    message: other.isSecret
      ? `${name}: the secret "${other.name}" is not the one with which its ${isUp ? 'run' : 'rollback'} began`
      : `${name}: the argument "${other.name}" is ${own}, and its ${isUp ? 'run' : 'rollback'} began with ${its}`,
    detail: 'all chunks of a run have the same arguments, on every host; nothing was changed',
    hint: `${other.isSecret ? `set ${argVariable(other.name)} to the same secret` : without}${isUp ? restart : ''}`,
  });
}
