/**
 * The states of a run and of a range, with a sentence for every move between them. The CHECK constraints
 * of the ledger, this table and the diagram in ARCHITECTURE.md agree, by test.
 */

/** States in which a run holds its name: one such run per migration and direction. */
export const liveRunStates = ['running', 'paused', 'failed', 'reverting', 'cancelled'] as const;

/** Every state of a run. */
export const runStates = [...liveRunStates, 'done', 'reverted'] as const;

/** Every state of a range. */
export const rangeStates = ['open', 'done', 'void'] as const;

export type RunState = (typeof runStates)[number];
export type RangeState = (typeof rangeStates)[number];

type Moves<State extends string> = Readonly<Record<State, Readonly<Partial<Record<State, string>>>>>;

/** From, to, and why: each move of a run raises its epoch. */
export const runMoves: Moves<RunState> = {
  running: {
    paused: 'an operator holds it; open chunks of the old epoch cannot commit',
    failed: 'the code of the author or the data stopped it, or rows are quarantined',
    cancelled: 'an operator gives it up; what is done stays done',
    done: 'no range is open',
    reverting: '`down` goes back over what is done so far',
  },
  paused: {
    running: '`resume` or `up` goes on',
    cancelled: 'an operator gives it up; what is done stays done',
    reverting: '`down` goes back over what is done so far',
  },
  failed: {
    running: '`up` takes it up again, or `retry` its quarantined rows',
    cancelled: 'an operator gives it up; what is done stays done',
    reverting: '`down` goes back over what is done so far',
  },
  cancelled: {
    running: '`resume` takes it up again where it stopped; `up` refuses',
    reverting: '`down` goes back over what is done so far',
  },
  done: { reverting: '`down` goes back over all of it' },
  reverting: { reverted: 'the run of `down` is done' },
  reverted: {},
};

/** From, to, and why. */
export const rangeMoves: Moves<RangeState> = {
  open: {
    done: 'its cursor has reached its upper bound',
    void: 'it counts no longer: other ranges hold its keys',
  },
  done: {},
  void: {},
};

/** Whether a run may go from one state to another; staying is no move. */
export function canMove(from: RunState, to: RunState): boolean {
  return runMoves[from][to] !== undefined;
}

/** Whether a range may go from one state to another; staying is no move. */
export function canMoveRange(from: RangeState, to: RangeState): boolean {
  return rangeMoves[from][to] !== undefined;
}
