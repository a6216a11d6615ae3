/** States in which a run holds its name: there is one such run per migration and direction. */
export const liveStates = ['running', 'paused', 'failed', 'reverting', 'cancelled'] as const;

/** Every state of a run; ARCHITECTURE.md has the moves between them. */
export const runStates = [...liveStates, 'done', 'reverted'] as const;

export type RunState = (typeof runStates)[number];

/** What a migration is shown as. `interrupted`: its run is running, and nobody works on it. `missing`: executed, without a file. */
export type MigrationState = 'pending' | (typeof liveStates)[number] | 'interrupted' | 'executed' | 'missing';

/** Whether rows are being migrated, or reverted, in this state. */
export function isUnderWay(state: MigrationState): state is 'running' | 'reverting' {
  return state === 'running' || state === 'reverting';
}

/** Whether an operator holds a run in this state: only `resume` lets it continue. */
export function isHeld(state: string): state is 'paused' | 'cancelled' {
  return state === 'paused' || state === 'cancelled';
}

/** Whether a run in this state has started and not ended. */
export function isLive(state: RunState): state is (typeof liveStates)[number] {
  return (liveStates as readonly RunState[]).includes(state);
}
