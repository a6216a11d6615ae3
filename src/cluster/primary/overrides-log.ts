import { type Overrides, describeOverrides } from '../../core/config/steering.ts';
import type { Logger } from '../../logger.ts';

/** Logs what operators set for a run while this host works on it: once for each change. */
export class OverridesLog {
  readonly #migration: string;
  readonly #logger: Logger;
  #before = JSON.stringify({});

  constructor(migration: string, logger: Logger) {
    this.#migration = migration;
    this.#logger = logger;
  }

  log(settings: Overrides): void {
    const now = JSON.stringify(settings);
    if (now === this.#before) return;
    this.#before = now;
    const message = `${this.#migration}: set for all hosts: ${describeOverrides(settings)}`;
    this.#logger.info({ event: 'run.set', migration: this.#migration, settings }, message);
  }
}
