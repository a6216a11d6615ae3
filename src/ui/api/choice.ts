import { openControl } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { thisProcess } from '../../config/this-process.ts';
import { messageOf } from '../../errors.ts';
import { type TargetEnd, overTargets } from '../../targets/pool.ts';
import type { Target } from '../../targets/resolve.ts';
import type { Choice, Overview, TargetRow } from './contract.ts';
import { type Look, databaseIdOf, lookAt } from './reading.ts';

// A thousand targets are as many connections, one after another.
const leastAgeMs = 5_000;
/** Of all time, no more than a tenth is spent on looking. */
const agePerLook = 9;

/** Looks at one target, with a connection for this look alone: nobody may ask for the next one. */
export async function lookOnceAt(config: Config, canWrite: boolean, asked: readonly string[]): Promise<Look> {
  const control = openControl(config);
  const about = { databaseId: idOf(config), canWrite };
  try {
    return await lookAt(config, control, about, asked);
  } finally {
    await control.close();
  }
}

/** What a target is called in paths, where nothing has to be escaped again. */
export function idOf({ target, database }: Config): string {
  if (target === null) return databaseIdOf(databaseLabel(database));
  return encodeURIComponent(target.name.replaceAll('~', '~7E')).replaceAll('%', '~');
}

/** How all targets stand, for whoever chooses one; looked at so rarely that it is no burden. */
export class Choices {
  readonly #targets: readonly Target[];
  readonly #atOnce: number;
  readonly #canWrite: boolean;
  readonly #closed = new AbortController();
  #latest: { readonly choice: Promise<Choice>; staleAt: number } | null = null;

  constructor(targets: readonly Target[], atOnce: number, canWrite: boolean) {
    this.#targets = targets;
    this.#atOnce = atOnce;
    this.#canWrite = canWrite;
  }

  async now(): Promise<Choice> {
    if (this.#latest !== null && performance.now() < this.#latest.staleAt) return await this.#latest.choice;
    const beganAt = performance.now();
    const latest = { choice: this.#look(), staleAt: Infinity };
    this.#latest = latest;
    const choice = await latest.choice;
    const now = performance.now();
    latest.staleAt = now + Math.max(leastAgeMs, (now - beganAt) * agePerLook);
    return choice;
  }

  /** Settles when nothing is looked at any more. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#latest?.choice;
  }

  async #look(): Promise<Choice> {
    const pool = { atOnce: this.#atOnce, first: 0, failFast: false, signal: this.#closed.signal };
    const ends = await overTargets(this.#targets, pool, async ({ config }) => {
      return (await lookOnceAt(config, this.#canWrite, [])).overview;
    });
    const { version } = thisProcess();
    return { at: Date.now(), version, canWrite: this.#canWrite, targets: ends.map(rowOf) };
  }
}

function rowOf({ target: { name, config }, value, error }: TargetEnd<Overview>): TargetRow {
  const states: Record<string, number> = {};
  for (const { state } of value?.migrations ?? []) states[state] = (states[state] ?? 0) + 1;
  return {
    name,
    databaseId: idOf(config),
    database: databaseLabel(config.database),
    states: value === null ? null : states,
    error: error === null ? null : messageOf(error),
  };
}
