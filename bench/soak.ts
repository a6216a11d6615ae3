/** Whether something has grown while the same work was done over and over. Pure. */

/** What is sampled, and how much more of it at the end is still none: the noise of its kind. */
export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly mostTimes: number;
  readonly mostMore: number;
}

export interface Growth {
  readonly metric: Metric;
  readonly early: number;
  readonly late: number;
  readonly hasGrown: boolean;
}

// What is loaded, compiled and cached for the first time is no growth.
const warmUp = 0.25;
const part = 0.25;

/** With fewer samples nobody can tell. */
export const leastSamples = 8;

/** Compares the quarter of the samples behind the first with the last quarter, by their medians. */
export function growthOf(metric: Metric, samples: readonly number[]): Growth {
  const from = Math.floor(samples.length * warmUp);
  const length = Math.max(1, Math.floor(samples.length * part));
  const early = median(samples.slice(from, from + length));
  const late = median(samples.slice(-length));
  const most = Math.max(early * metric.mostTimes, early + metric.mostMore);
  return { metric, early, late, hasGrown: late > most };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
