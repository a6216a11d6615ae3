import { randomUUID } from 'node:crypto';
import { type ThisProcess, thisProcess } from '../config/this-process.ts';
import { formatDuration } from '../core/config/duration.ts';
import type { NotifyEvent } from '../core/config/notify-events.ts';
import { redact } from '../core/errors/redact.ts';
import type { Progress } from '../core/progress/progress.ts';
import { counted, mostListed } from '../core/values/numbers.ts';
import type { Happening } from './happening.ts';

/** What a webhook, a command or a function receives. New fields may come; one that changes raises `version`. */
export interface Notification {
  readonly version: 1;
  /** The same at each try, so that a receiver can tell a repetition. */
  readonly id: string;
  readonly event: NotifyEvent;
  /** ISO 8601, in UTC, by the clock of the host. */
  readonly at: string;
  /** What happened, as a sentence. */
  readonly text: string;
  /** `host:port/name`, without user and password. */
  readonly database: string;
  readonly migration: string | null;
  readonly direction: 'up' | 'down' | null;
  /** Id of its run in the ledger; null: it has none. */
  readonly run: string | null;
  /** Who caused it. */
  readonly by: ThisProcess;
  /** How the run stood when this process last looked; null: it does not work on it. */
  readonly progress: NotifiedProgress | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type NotifiedProgress = Pick<
  Progress,
  | 'rowsDone'
  | 'rowsEstimated'
  | 'fraction'
  | 'rowsPerSecond'
  | 'etaSeconds'
  | 'chunks'
  | 'retries'
  | 'quarantined'
> & { readonly elapsedMs: number };

/** A quarantined row in `detail.rows`. */
interface QuarantinedRow {
  readonly key: readonly string[];
  readonly error: string;
  readonly sqlstate: string | null;
}

/** Makes the notification of something that happened. */
export function notificationOf(
  event: NotifyEvent,
  happening: Happening,
  { database, progress }: { readonly database: string; readonly progress: Progress | null },
): Notification {
  const { migration, direction, runId: run } = happening;
  const stood =
    progress?.migration === migration && progress.direction === direction ? notified(progress, event) : null;
  const detail = detailOf(event, happening.detail);
  const made = { event, database, migration, direction, run, progress: stood, detail };
  const at = new Date().toISOString();
  return { version: 1, id: randomUUID(), at, text: sentence(made), ...made, by: thisProcess() };
}

// Rows of one notification.
const mostRows = 100;

/** Two that wait for the same target as one, where both are of quarantined rows of one run; null: they stay two. */
export function joined(first: Notification, second: Notification): Notification | null {
  if (first.event !== 'quarantined' || second.event !== 'quarantined' || first.run !== second.run)
    return null;
  const rows = [first, second].flatMap(({ detail }) => detail['rows'] as readonly QuarantinedRow[]);
  if (rows.length > mostRows) return null;
  const both = { ...second, id: first.id, at: first.at, detail: { rows } };
  return { ...both, text: sentence(both) };
}

function notified(progress: Progress, event: NotifyEvent): NotifiedProgress {
  const { rowsDone, rowsPerSecond, chunks, retries, quarantined } = progress;
  const { rowsEstimated, fraction, etaSeconds } =
    event === 'done' ? { rowsEstimated: rowsDone, fraction: 1, etaSeconds: 0 } : progress;
  const elapsedMs = Math.round(progress.elapsedMs);
  return {
    rowsDone,
    rowsEstimated,
    fraction,
    rowsPerSecond,
    etaSeconds,
    chunks,
    retries,
    quarantined,
    elapsedMs,
  };
}

function detailOf(event: NotifyEvent, told: Happening['detail']): Happening['detail'] {
  const { key, error, sqlstate = null, attempts: _attempts, ...rest } = told;
  const said = typeof error === 'string' ? { error: redact(error) } : {};
  return event === 'quarantined' ? { rows: [{ key, ...said, sqlstate }] } : { ...said, ...rest };
}

const outcomes: Readonly<Record<Exclude<NotifyEvent, 'quarantined'>, string>> = {
  started: 'started',
  done: 'done',
  failed: 'failed',
  paused: 'paused',
  cancelled: 'cancelled',
  throttled: 'held back',
  slower: 'slower than first estimated',
  outOfTime: 'out of time, not done; the next run resumes it',
};

type Told = Omit<Notification, 'version' | 'id' | 'at' | 'text' | 'by'>;

/** `20250518-sku: failed: division by zero; 31,000 rows (50%) after 12m 03s [shop.example:5432/shop]` */
function sentence({ event, database, migration, direction, progress, detail }: Told): string {
  const { error, reason, rows } = detail as { error?: string; reason?: string; rows?: QuarantinedRow[] };
  const which = direction === 'down' ? `${migration} (down)` : (migration ?? 'the ledger');
  const keys = rows?.slice(0, mostListed).map(({ key }) => key.join(', ')) ?? [];
  const what =
    event === 'quarantined'
      ? `${counted(rows?.length ?? 0, 'row')} quarantined (${keys.join('; ')})`
      : outcomes[event];
  const why = [error ?? reason ?? []].flat().map((text) => `: ${text}`);
  return `${which}: ${what}${why.join('')}${event === 'started' ? '' : stand(progress, event)} [${database}]`;
}

function stand(progress: NotifiedProgress | null, event: NotifyEvent): string {
  if (progress === null) return '';
  const { rowsDone, fraction, elapsedMs } = progress;
  const share = fraction === null || event === 'done' ? '' : ` (${Math.floor(fraction * 100)}%)`;
  return `; ${counted(rowsDone, 'row')}${share} after ${formatDuration(elapsedMs)}`;
}
