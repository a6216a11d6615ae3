import path from 'node:path';
import type { Control } from '../cluster/worker/control.ts';
import type { Seen } from '../cluster/primary/primary.ts';
import type { Config } from '../config/config.ts';
import { databaseLabel } from '../config/database.ts';
import type { NotifyConfig, NotifyTarget } from '../config/notify.ts';
import type { Progress } from '../core/progress/progress.ts';
import { fail } from '../errors.ts';
import { Ledger } from '../ledger/ledger.ts';
import { ledgerNames } from '../ledger/schema.ts';
import type { Logger } from '../logger.ts';
import type { Tell } from '../notify/happening.ts';
import type { Undelivered } from '../notify/mailbox.ts';
import { Notifier } from '../notify/notifier.ts';
import { inOneTrip, plainSettings } from '../postgres/transaction.ts';

// At the end of a command, for all that could not be delivered.
const recordMs = 1_000;

/** Whom the knexfile has told of what a migrator does; what could not be delivered is logged, and kept in the history. */
export class Notices {
  readonly #config: Config;
  readonly #control: Control;
  readonly #logger: Logger;
  readonly #notifier: Notifier;
  #recorded: Promise<unknown> = Promise.resolve();

  constructor(config: Config & { readonly notify: NotifyConfig }, control: Control, logger: Logger) {
    this.#config = config;
    this.#control = control;
    this.#logger = logger;
    const { database, notify } = config;
    const label = databaseLabel(database);
    this.#notifier = new Notifier(notify, label, (undelivered) => this.#undelivered(undelivered));
  }

  get tell(): Tell {
    return this.#notifier.tell;
  }

  progress(progress: Progress, { runId, ...seen }: Seen): void {
    this.#notifier.progress(progress, runId, seen);
  }

  /** The command is asked to stop. */
  hurry(how: 'drain' | 'abort'): void {
    this.#notifier.hurry(how);
  }

  /** Waits a little for what is still to be delivered, and records what is not. */
  async end(): Promise<void> {
    // A stop may have cut it.
    this.#control.restore();
    await this.#notifier.end();
    const late = fail('STOPPED', { message: 'the database did not answer in time' });
    const timer = setTimeout(() => this.#control.cut(late), recordMs);
    await this.#recorded;
    clearTimeout(timer);
  }

  #undelivered({ notification, target, error }: Undelivered): void {
    const { event, migration, run, direction } = notification;
    const to = nameOf(target);
    const fields = { notification: event, migration, target: Object.values(to).join(' '), error };
    const message = `${migration ?? 'ledger'}: "${event}" was not delivered to the ${fields.target}: ${error}`;
    this.#logger.warn({ event: 'notification.undelivered', ...fields }, message);
    const subject = { name: migration, id: run, direction };
    const record = (): Promise<void> =>
      this.#control.use((session) =>
        inOneTrip(session, plainSettings, () =>
          new Ledger(session, ledgerNames(this.#config.ledgerSchema)).history.record('undelivered', subject, {
            notification: event,
            ...to,
            error,
          }),
        ),
      );
    // Best effort: there may be no ledger yet.
    this.#recorded = this.#recorded.then(record).catch(() => undefined);
  }
}

/** A target without what is secret about it. */
function nameOf(target: NotifyTarget): Readonly<Record<string, string>> {
  if (target.kind === 'webhook') return { target: 'webhook', host: target.url.host };
  if (target.kind === 'command') return { target: 'command', program: path.basename(target.argv[0]) };
  return { target: 'function' };
}
