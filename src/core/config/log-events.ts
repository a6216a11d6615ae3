/**
 * Every record that the product logs: its event, what it means, and its fields. One table: the logger's types,
 * the documentation and the tests all read it. Names are `noun.verb` and stable: a pipeline may match on them.
 * No field holds a row's values or a secret.
 */

/** What a field holds, by the word that the table and the documentation have for it. */
interface FieldTypes {
  readonly text: string;
  readonly number: number;
  readonly texts: readonly string[];
  readonly 'text or null': string | null;
  readonly 'texts or null': readonly string[] | null;
  readonly 'number or null': number | null;
  readonly 'object or null': object | null;
}

export type FieldKind = keyof FieldTypes;

interface EventShape {
  /** The level of its records; `any`: the author of a migration chooses. */
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'any';
  /** When it is logged: the end of "one record when …". */
  readonly when: string;
  readonly fields: Readonly<Record<string, FieldKind>>;
}

const direction = 'text';
const failing = { migration: 'text', range: 'number', error: 'text' } as const;

/** By event, in the order of a run. */
export const logEvents = {
  'embedded.started': {
    level: 'info',
    when: 'the embedded server is used',
    fields: { database: 'text' },
  },
  'migration.missing': {
    level: 'warn',
    when: 'files of executed migrations are missing',
    fields: { missing: 'texts' },
  },
  'migration.unfinished': {
    level: 'warn',
    when: 'files of started but unfinished migrations are missing here',
    fields: { missing: 'texts' },
  },
  'migration.changed': {
    level: 'warn',
    when: 'files of executed migrations, or what they import, have changed since',
    fields: { changed: 'texts' },
  },
  'migration.jumped': {
    level: 'warn',
    when: '`up --name` runs a migration before pending ones that sort before it',
    fields: { jumped: 'texts' },
  },
  'undo.kept': {
    level: 'warn',
    when: 'what is stored for longer than `options.undo` says could not be removed now, and is by a later command',
    fields: { error: 'text' },
  },
  'undo.lost': {
    level: 'warn',
    when: 'a schema migration has dropped what stored values belong to: they cannot be restored',
    fields: { migration: 'text', lost: 'texts' },
  },
  'migration.confusable': {
    level: 'warn',
    when: 'two names run in a different order than they appear to',
    fields: { first: 'text', second: 'text' },
  },
  'migration.started': {
    level: 'info',
    when: 'this host starts, resumes or joins a migration',
    fields: { migration: 'text', direction },
  },
  'plan.warning': {
    level: 'warn',
    when: 'a migration may be slow, or its code looks wrong',
    fields: { migration: 'text', warning: 'text' },
  },
  'run.waiting': {
    level: 'info',
    when: 'the run waits for an older transaction, a lock or another host',
    fields: { migration: 'text', reason: 'text' },
  },
  'run.set': {
    level: 'info',
    when: 'an operator has changed settings of a run that this host works on; `settings` is all that is set now',
    fields: { migration: 'text', settings: 'object or null' },
  },
  'run.progress': {
    level: 'info',
    when: 'a migration starts, its reason to wait or be held back changes, and every 10 s; not while a progress bar is shown',
    fields: {
      migration: 'text',
      direction,
      rowsDone: 'number',
      rowsEstimated: 'number or null',
      fraction: 'number or null',
      rowsPerSecond: 'number or null',
      etaSeconds: 'number or null',
      chunks: 'number',
      chunkSize: 'number',
      chunkMs: 'number or null',
      workers: 'number',
      otherWorkers: 'number',
      otherHosts: 'number',
      waiting: 'text or null',
      throttled: 'text or null',
      throttledBy: 'text or null',
      retries: 'number',
      quarantined: 'number',
      elapsedMs: 'number',
    },
  },
  'run.order': {
    level: 'info',
    when: 'a run without options.order has found out in which order it goes over a large table: `key` or `physical`',
    fields: { migration: 'text', order: 'text', reason: 'text' },
  },
  'run.sweeping': {
    level: 'info',
    when: 'a run with options.sweep starts another pass over its table; `rows` is what it has done so far',
    fields: { migration: 'text', sweep: 'number', rows: 'number' },
  },
  'run.rewound': {
    level: 'warn',
    when: 'the database went back in time, as after a failover that lost commits; at least `rows` are migrated again',
    fields: { migration: 'text', rows: 'number' },
  },
  'run.endless': {
    level: 'warn',
    when: 'sweeps keep finding as many rows as before and the run ends: the application inserts rows as fast as they are migrated',
    fields: { migration: 'text', sweeps: 'number' },
  },
  'run.left': {
    level: 'warn',
    when: 'a run has ended and rows still match its select or its verify',
    fields: { migration: 'text', rows: 'number' },
  },
  'run.vacuumed': {
    level: 'info',
    when: 'the table of a run with options.vacuum was vacuumed; `dead` is how many dead rows it had',
    fields: { migration: 'text', dead: 'number', durationMs: 'number' },
  },
  'run.unvacuumed': {
    level: 'warn',
    when: 'it is not vacuumed during this run, because the role may not or the server refuses (logged once)',
    fields: { migration: 'text', reason: 'text' },
  },
  'run.analyzed': {
    level: 'info',
    when: 'a run has ended that changed much of its table, and Postgres has made statistics of the columns; null: of all',
    fields: { migration: 'text', columns: 'texts or null', durationMs: 'number' },
  },
  'run.unanalyzed': {
    level: 'info',
    when: 'it has not, because the role may not, the table was locked or it took too long',
    fields: { migration: 'text', reason: 'text' },
  },
  'run.unchanged': {
    level: 'warn',
    when: 'a run passed rows to update, but no row of any table changed',
    fields: { migration: 'text', rows: 'number' },
  },
  'update.missing': {
    level: 'warn',
    when: 'updateRows or deleteRows did not find all rows it was given (first time in a process)',
    fields: { migration: 'text', missing: 'number' },
  },
  'update.outside': {
    level: 'warn',
    when: 'a connection of the process, not one of the tool, seems to have written while `update` ran (first time in a process)',
    fields: { migration: 'text', backend: 'number', application: 'text' },
  },
  'chunk.done': {
    level: 'debug',
    when: 'a chunk of this host is committed; `size` is how many rows it could have had',
    fields: { migration: 'text', range: 'number', rows: 'number', size: 'number', durationMs: 'number' },
  },
  'chunk.retry': {
    level: 'warn',
    when: 'a chunk failed with a transient error (lost connection, deadlock, timeout) and is tried again',
    fields: failing,
  },
  'chunk.narrowed': {
    level: 'warn',
    when: 'the search for matching rows timed out and is tried again over fewer keys',
    fields: failing,
  },
  'chunk.halved': {
    level: 'debug',
    when: 'a chunk failed because of its code or data; fewer rows are tried, to find the rows that fail',
    fields: failing,
  },
  'chunk.shrunk': {
    level: 'warn',
    when: 'a statement was too large (logged once), or processes died in a chunk: it is tried again with fewer rows',
    fields: failing,
  },
  'row.quarantined': {
    level: 'warn',
    when: 'a row failed alone and is quarantined',
    fields: { ...failing, key: 'texts' },
  },
  'range.reaped': {
    level: 'warn',
    when: 'a transaction that held a range for longer than any chunk may take was terminated',
    fields: { migration: 'text', backend: 'number' },
  },
  'update.logged': {
    level: 'any',
    when: '`update` wrote to `context.logger`; `data` is what it gave',
    fields: { migration: 'text', chunk: 'text', attempt: 'number', data: 'object or null' },
  },
  'worker.forked': { level: 'debug', when: 'a worker process was started', fields: { worker: 'number' } },
  'worker.waiting': {
    level: 'warn',
    when: 'a worker gets no connection and keeps trying',
    fields: { worker: 'number', error: 'text' },
  },
  'worker.idle': {
    level: 'warn',
    when: 'a worker gets no connection and is stopped; the others continue',
    fields: { error: 'text' },
  },
  'worker.died': {
    level: 'warn',
    when: 'a worker process died; its chunk was rolled back',
    fields: { worker: 'number', code: 'number or null', signal: 'text or null' },
  },
  'worker.killed': {
    level: 'warn',
    when: 'a worker process did not answer and was killed',
    fields: { worker: 'number' },
  },
  'run.stopping': {
    level: 'info',
    when: 'a signal or `--max-time` stops the command; running chunks finish first',
    fields: { code: 'text' },
  },
  'join.waiting': {
    level: 'info',
    when: '`worker` begins to wait for a run that it could join',
    fields: {},
  },
  'join.prevented': {
    level: 'warn',
    when: '`worker` cannot join a run, its work on one has failed, or the database does not answer; it keeps trying',
    fields: { migration: 'text or null', error: 'text', detail: 'text or null', hint: 'text or null' },
  },
  'migration.done': {
    level: 'info',
    when: 'a migration is done',
    fields: {
      migration: 'text',
      direction,
      rows: 'number',
      chunks: 'number',
      retries: 'number',
      durationMs: 'number',
    },
  },
  'notification.undelivered': {
    level: 'warn',
    when: 'a notification was given up; `target` is who was to receive it, `error` why it could not be delivered',
    fields: { notification: 'text', migration: 'text or null', target: 'text', error: 'text' },
  },
  'ui.failed': {
    level: 'error',
    when: 'a request of the page of `ui` fails for a reason that should not be',
    fields: { error: 'text' },
  },
  'targets.progress': {
    level: 'info',
    when: 'several targets are worked on: every 10 s, and not while a progress display is shown',
    fields: { targets: 'number', ended: 'number', failed: 'number', running: 'texts' },
  },
  'node.warned': {
    level: 'warn',
    when: 'Node or a package emits a warning; always in a worker, elsewhere only where the log is JSON',
    fields: { name: 'text' },
  },
  'command.failed': {
    level: 'error',
    when: 'the command ends with a nonzero exit code; only where the log is JSON, in place of the text',
    fields: {
      code: 'text',
      exitCode: 'number',
      detail: 'text or null',
      hint: 'text or null',
      stack: 'text or null',
    },
  },
} as const satisfies Readonly<Record<string, EventShape>>;

export type LogEvent = keyof typeof logEvents;

/** The fields of an event, without its name. */
export type EventFields<Event extends LogEvent> = {
  readonly [
    Field in keyof (typeof logEvents)[Event]['fields']
  ]: FieldTypes[(typeof logEvents)[Event]['fields'][Field] & FieldKind];
};

/**
 * A record as it is handed to a logger. Time, level, process and host are added where it is written. `target`: of
 * several databases or schemas, the one that it is about.
 */
export type LogRecord = {
  [Event in LogEvent]: { readonly event: Event; readonly target?: string } & EventFields<Event>;
}[LogEvent];
