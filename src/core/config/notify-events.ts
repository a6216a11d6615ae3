/** What `migrations.cluster.notify` can be told of, and when: for the parser of the knexfile and the documentation. */
export const notifyEvents = {
  started: 'a run was opened: a data migration runs for the first time, or its rollback does',
  done: 'a migration is done, or with direction `down` rolled back',
  failed:
    'a migration has failed, or an error has ended a command that worked on it; `detail.error` names it, `detail.code` is its code',
  quarantined:
    'rows failed alone and were quarantined; `detail.rows` has their keys and errors; while a message is on its way, further rows are collected for the next',
  paused: 'somebody has paused a run',
  cancelled: 'somebody has cancelled a run, or a rollback before it began',
  throttled:
    'the throttle has held new chunks back for longer than `throttledAfter`; `detail.reason` says why',
  slower: 'a run takes more than twice as long as first estimated',
  outOfTime: '`--max-time` has stopped this host before the migration was done',
} as const;

export type NotifyEvent = keyof typeof notifyEvents;
