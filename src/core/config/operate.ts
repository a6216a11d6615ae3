import type { RunState } from './states.ts';

/** What an operator may ask of a run. */
export type Verb = 'pause' | 'resume' | 'cancel';

/** What is known of a migration when an operator asks for something. */
export interface Situation {
  readonly name: string;
  readonly isExecuted: boolean;
  /** State of its run that is started and not ended; null: there is none. */
  readonly up: RunState | null;
  /** State of its rollback that is started and not ended; null: there is none. */
  readonly down: RunState | null;
  /** Some chunk of that rollback is committed. */
  readonly isPartlyBack: boolean;
}

/** What becomes of the request. `already`: it is so, and nothing changes. `abandon`: a rollback that did nothing ends. */
export type Decision =
  | { readonly kind: 'abandon' }
  | { readonly kind: 'move'; readonly direction: 'up' | 'down'; readonly to: RunState }
  | { readonly kind: 'already'; readonly direction: 'up' | 'down'; readonly state: RunState }
  | { readonly kind: 'refuse'; readonly why: string; readonly hint: string };

const target = { pause: 'paused', resume: 'running', cancel: 'cancelled' } as const;

/** From which states each verb moves a run; others are refused. */
const movable: Readonly<Record<Verb, readonly RunState[]>> = {
  pause: ['running'],
  resume: ['paused', 'cancelled'],
  cancel: ['running', 'paused', 'failed'],
};

/** Decides what an operator's word does to a migration as it stands. */
export function decide(verb: Verb, situation: Situation): Decision {
  const { name, up, down } = situation;
  const direction = down === null ? 'up' : 'down';
  const state = down ?? up;
  if (state === null) return refuseIdle(verb, situation);
  if (verb === 'cancel' && down !== null) {
    if (!situation.isPartlyBack) return { kind: 'abandon' };
    return {
      kind: 'refuse',
      why: `${name} is being rolled back, which cannot be cancelled: some of its rows are already restored`,
      hint: `pause it: umzug-cluster pause ${name}; go forward again: umzug-cluster down --name ${name}, then umzug-cluster up`,
    };
  }
  if (state === target[verb]) return { kind: 'already', direction, state };
  if (movable[verb].includes(state)) return { kind: 'move', direction, to: target[verb] };
  return refuseState(verb, name, state, direction);
}

function refuseIdle(verb: Verb, { name, isExecuted }: Situation): Decision {
  return isExecuted
    ? {
        kind: 'refuse',
        why: `${name} is executed: there is nothing to ${verb}`,
        hint: `revert it: umzug-cluster down --name ${name}`,
      }
    : {
        kind: 'refuse',
        why: `${name} has not started: there is nothing to ${verb}`,
        hint: `run it: umzug-cluster up --to ${name}`,
      };
}

function refuseState(verb: Verb, name: string, state: RunState, direction: 'up' | 'down'): Decision {
  const again = direction === 'up' ? 'umzug-cluster up' : `umzug-cluster down --name ${name}`;
  const hints: Partial<Record<RunState, string>> = {
    failed: `try it again: ${again}; only its quarantined rows: umzug-cluster retry ${name}`,
    cancelled: `resume: umzug-cluster resume ${name}; revert: umzug-cluster down --name ${name}`,
  };
  return {
    kind: 'refuse',
    why: `${name} ${state === 'failed' ? 'has failed' : `is ${state}`}: there is nothing to ${verb}`,
    hint: hints[state] ?? `umzug-cluster status ${name}`,
  };
}
