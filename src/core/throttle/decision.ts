import { formatDuration } from '../config/duration.ts';
import type { Reason, Signal } from './signal.ts';

/** What a chunk asks before it begins. */
export interface Decision {
  /** Share of its usual size, and of the usual lanes, that a run has; above 0, at most 1. */
  readonly factor: number;
  /** Why it has less than all of that, or null. */
  readonly slow: Reason | null;
  /** Why no chunk may begin, or null. */
  readonly hold: Reason | null;
  /** Why this host is to stop, or null. */
  readonly abort: Reason | null;
}

/** Nothing holds a run back. */
export const free: Decision = { factor: 1, slow: null, hold: null, abort: null };

// A step down has to show in what is read before the next one; a step up is small, so that the limit is not passed again.
const cut = 0.5;
const cutEveryMs = 2_000;
const growthPerSecond = 0.1;
const leastFactor = 1 / 8;

// As many as a line can take.
const mostReasons = 3;

/** Makes one decision of what all signals ask for. Time is given, by any clock. */
export class Decider {
  #factor = 1;
  #slow: Reason | null = null;
  #cutAt = -Infinity;
  #atMs: number | null = null;
  #heldSince: number | null = null;

  /** `maxHoldMs`: how long a run may be held back; null: as long as it takes. */
  decide(signals: readonly Signal[], nowMs: number, maxHoldMs: number | null): Decision {
    const by = (response: Signal['response']): readonly Signal[] =>
      signals.filter((signal) => signal.response === response);
    this.#adapt(
      signals.filter(({ response, isLoad }) => isLoad || response === 'slow'),
      nowMs,
    );
    const hold = together([...by('abort'), ...by('hold')]);
    this.#heldSince = hold === null ? null : (this.#heldSince ?? nowMs);
    const heldMs = this.#heldSince === null ? 0 : nowMs - this.#heldSince;
    const tooLong =
      hold === null || maxHoldMs === null || heldMs < maxHoldMs
        ? null
        : { ...hold, text: `held back for ${formatDuration(heldMs)}: ${hold.text}` };
    return { factor: this.#factor, slow: this.#slow, hold, abort: together(by('abort')) ?? tooLong };
  }

  /** Additive increase, multiplicative decrease. */
  #adapt(pressing: readonly Signal[], nowMs: number): void {
    const sinceMs = nowMs - (this.#atMs ?? nowMs);
    this.#atMs = nowMs;
    if (pressing.length > 0) {
      this.#slow = together(pressing);
      if (nowMs - this.#cutAt < cutEveryMs) return;
      this.#cutAt = nowMs;
      this.#factor = Math.max(leastFactor, this.#factor * cut);
      return;
    }
    this.#factor = Math.min(1, this.#factor + (growthPerSecond * sinceMs) / 1_000);
    // The numbers of before are past.
    const kind = this.#slow?.kind;
    this.#slow = this.#factor === 1 || kind === undefined ? null : { kind, text: kind };
  }
}

function together(reasons: readonly Reason[]): Reason | null {
  const shown = reasons.slice(0, mostReasons);
  if (shown.length === 0) return null;
  return {
    kind: shown.map(({ kind }) => kind).join('; '),
    text: shown.map(({ text }) => text).join('; '),
  };
}

/** So many of the lanes that pay are used, at least 1. */
export function lanesWithin(lanes: number, factor: number): number {
  return Math.max(1, Math.round(lanes * factor));
}

/** How long a lane rests after a chunk, so that it works this share of its time; milliseconds. */
export function restMs(chunkMs: number, factor: number): number {
  return chunkMs * (1 / factor - 1);
}

// What holds a run back for less is nothing to tell: it would come and go in every line of a log.
const tellAfterMs = 1_000;

/** What is told of a run that is held back. */
export interface Held extends Reason {
  /** No chunk begins; else it is slowed down. */
  readonly isHold: boolean;
}

/** Tells what holds a run back once it has lasted, and until it has been over for as long. */
export class HeldWatch {
  #told: Held | null = null;
  #kind: string | undefined;
  #since = -Infinity;

  tell(decision: Decision, nowMs: number): Held | null {
    const held = heldBy(decision);
    if (held?.kind !== this.#kind) this.#since = nowMs;
    this.#kind = held?.kind;
    if (held?.kind === this.#told?.kind || nowMs - this.#since >= tellAfterMs) this.#told = held;
    return this.#told;
  }
}

function heldBy({ hold, slow }: Decision): Held | null {
  if (hold !== null) return { ...hold, isHold: true };
  if (slow === null) return null;
  return { kind: `slowed down: ${slow.kind}`, text: `slowed down: ${slow.text}`, isHold: false };
}
