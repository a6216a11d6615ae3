import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type RunState,
  canMove,
  canMoveRange,
  liveRunStates,
  rangeMoves,
  rangeStates,
  runMoves,
  runStates,
} from '../../src/core/states.ts';
import type { RunState as LedgerRunState } from '../../src/ledger/rows.ts';
import { liveStates } from '../../src/ledger/schema.ts';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** Every state that can be reached from one, itself included. */
function reachable(from: RunState): ReadonlySet<RunState> {
  const found = new Set<RunState>([from]);
  for (const state of found) for (const next of runStates) if (canMove(state, next)) found.add(next);
  return found;
}

describe('the states of a run', () => {
  it('are those of the ledger', () => {
    const ledger: readonly LedgerRunState[] = runStates;
    expect(ledger).toHaveLength(7);
    expect(liveRunStates).toEqual(liveStates);
  });

  it('are all reached from running, and all lead to reverted', () => {
    expect(reachable('running')).toEqual(new Set(runStates));
    for (const state of runStates) expect(reachable(state)).toContain('reverted');
  });

  it('never lead back from a rollback', () => {
    expect([...reachable('reverting')]).toEqual(['reverting', 'reverted']);
    expect(canMove('done', 'running')).toBe(false);
  });

  it('allow every move of the diagram in ARCHITECTURE.md', () => {
    const diagram = /## States of a run\n+```text\n([\s\S]*?)```/.exec(read('ARCHITECTURE.md'))?.[1] ?? '';
    const isState = (word: string): word is RunState => new Set<string>(runStates).has(word);
    const moves = diagram.split('\n').flatMap((line) => {
      const steps = line
        .split('->')
        .map((step) =>
          [...step.matchAll(/[a-z]+(?=\s*(?:\||$|\s{2,}))/g)].map(([word]) => word).filter(isState),
        );
      return steps
        .slice(1)
        .flatMap((to, at) => (steps[at] ?? []).flatMap((a) => to.map((b) => [a, b] as const)));
    });
    expect(moves.length).toBeGreaterThanOrEqual(6);
    expect(moves.filter(([from, to]) => !canMove(from, to))).toEqual([]);
  });
});

describe('the states of a range', () => {
  it('are those of the ledger', () => {
    const list = rangeStates.map((state) => `'${state}'`).join(', ');
    expect(read('src/ledger/schema.ts')).toContain(`check (state in (${list}))`);
  });

  it('end with done or void', () => {
    expect(canMoveRange('open', 'done')).toBe(true);
    expect(canMoveRange('open', 'void')).toBe(true);
    for (const to of rangeStates) expect(canMoveRange('done', to) || canMoveRange('void', to)).toBe(false);
  });
});

it('says a sentence about every move, and none is a stay', () => {
  for (const moves of [runMoves, rangeMoves]) {
    for (const [from, targets] of Object.entries(moves)) {
      expect(Object.keys(targets)).not.toContain(from);
      for (const why of Object.values(targets)) expect(why).toMatch(/^\S.{10,}$/);
    }
  }
});
