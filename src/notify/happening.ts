import { type NotifyEvent, notifyEvents } from '../core/config/notify-events.ts';

/** What has become of a migration: an event of the ledger's history once it is committed, or one that a process saw. */
export interface Happening {
  readonly event: string;
  readonly migration: string | null;
  readonly runId: string | null;
  readonly direction: 'up' | 'down' | null;
  /** Texts are those of the product or errors without row values. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Is told what happens in a process. Never throws, and costs nobody time. */
export type Tell = (happening: Happening) => void;

/** Where nobody wants to know. */
export const tellNobody: Tell = () => undefined;

// As the history calls them.
const renamed: Readonly<Record<string, NotifyEvent>> = { finished: 'done', reverted: 'done' };

/** The event of the knexfile that this is; null: it is none. */
export function notifyEventOf({ event }: Happening): NotifyEvent | null {
  return renamed[event] ?? (event in notifyEvents ? (event as NotifyEvent) : null);
}
