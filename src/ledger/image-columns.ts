/** The name of the table of a run's images, without its schema; not quoted. `prefix`: of the ledger's names. */
export const imagesName = (prefix: string, runId: string): string => `${prefix}images_${runId}`;

/**
 * The columns of the table of images. Lists are kept as the text of a text[]: as arrays they took three times the room, and what
 * is stored is written to the log as well.
 */
export const imageColumns = `
  run_id bigint not null,
  -- of one row in the order of its changes, the latest first, in which they are undone: numbered while the row is locked
  no bigint not null generated always as identity (increment by -1),
  relation text[], -- null: the table of the run; else schema, name, and the columns of its primary key
  key text not null,
  columns text not null, -- by number, and by name in other tables
  before text, -- null: the row was inserted
  after text, -- null: it was deleted
  primary key (run_id, no)
`;

/** The columns of the table of rows that a rollback by images did not restore. */
export const conflictColumns = `
  run_id bigint not null, -- of the rollback
  no bigint not null, -- of the image
  relation text, -- null: the table of the run
  key text[] not null,
  columns text[] not null, -- that were changed since
  reason text not null check (reason in ('changed', 'gone', 'exists')),
  primary key (run_id, no)
`;
