import type { ThrottleConfig } from '../config/throttle.ts';
import type { LimitName, Tuning } from '../core/config/settings.ts';
import type { Overrides } from '../core/config/steering.ts';
import { limitsOf } from '../core/throttle/limits.ts';
import type { Ruling } from './gate.ts';
import { checkSource, fileSource, hoursSource, querySource, urlSource } from './probes.ts';
import { ServerSource, type WatchedTable } from './server.ts';
import type { Ask, Source } from './source.ts';
import { ThrottleWatch } from './watch.ts';

export interface ThrottleInput {
  readonly config: ThrottleConfig;
  readonly tuning: Pick<Tuning, LimitName | 'fullSpeed'>;
  readonly ask: Ask;
  /** The statement that pins the settings of a transaction. */
  readonly settings: string;
  readonly searchPath: readonly string[] | null;
  readonly migration: string;
  readonly table: WatchedTable;
  /** What an operator has set by now. */
  readonly overrides: () => Overrides;
}

/** Watches everything that holds a run back, and tells `rule` each time what that comes to. */
export function openThrottle(input: ThrottleInput, rule: (ruling: Ruling) => void): ThrottleWatch {
  const { config, tuning, ask, settings, searchPath, migration, table, overrides } = input;
  const limits = (): ReturnType<typeof limitsOf> => limitsOf(tuning, config, overrides());
  const { duringVacuum, hours, file, url, query, check } = config;
  const sources: Source[] = [new ServerSource({ ask, settings, table, limits, duringVacuum })];
  if (hours !== null) sources.push(hoursSource(hours));
  if (file !== null) sources.push(fileSource(file));
  if (query !== null) sources.push(querySource(query, { ask, settings, searchPath }));
  if (url !== null) sources.push(urlSource(url));
  if (check) sources.push(checkSource(check, migration));
  return new ThrottleWatch(sources, () => limits().maxHoldMs?.value ?? null, rule);
}
