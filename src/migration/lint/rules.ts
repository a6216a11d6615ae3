import { type Change, type Kind, givesName, takesName } from './changes.ts';
import { outside, shown } from './statement.ts';

/** What a rule may know beside the change. */
export interface Around {
  /** The file runs in a transaction, so each lock is held until its end. */
  readonly isTransaction: boolean;
  /** All changes of the file, in their order. */
  readonly all: readonly Change[];
  /** The columns that a constraint in force keeps from being null, by what earlier statements say. */
  readonly isGiven: (change: Change) => boolean;
}

export interface Rule {
  readonly kinds: readonly Kind[];
  /** Holds for a table that the same file creates, too. */
  readonly evenIfNew?: true;
  readonly applies: (change: Change, around: Around) => boolean;
  /** What the statement does. */
  readonly does: (change: Change) => string;
  /** What that means in production. */
  readonly happens: string;
  readonly instead: string;
}

const alone = 'in a file with export const options = { transaction: false }';
const blocksAll = 'nobody can read or write the table until it is done, and everybody queues behind it';

const validatedLater =
  'add it with not valid, and validate it in a second file: alter table … validate constraint … lets others write';

const volatile =
  / default .*(?:\b(?:gen_random_uuid|uuid_generate_v\d\w*|uuidv[47]|gen_random_bytes|random|clock_timestamp|timeofday|nextval) \()/;
const counts = /^(?:small|big)?serial[248]?\b| generated (?:always|by default) as identity\b/;
const stores = / generated always as \(.*\) stored\b/;
const isRewritten = ({ rest }: Change): boolean =>
  volatile.test(` ${rest}`) || counts.test(rest) || stores.test(rest);

// A change from or to one of the others may leave the rows as they are.
const otherForm =
  /^(?:set data )?type (?:smallint|int|integer|bigint|int[248]|real|double precision|float[48]|uuid|jsonb?|boolean|bool|date|bytea)\b(?! ?\[)/;

const unlocking = /^(?:in )?(?:access share|row share|row exclusive|share update exclusive) mode\b/;

/** By their names, in the order in which findings of one statement are reported. */
export const rules = {
  'backfill-in-schema-migration': {
    kinds: ['write rows'],
    applies: () => true,
    does: ({ table, to }) =>
      `${to === 'copy' ? 'copies' : `${to}s`} rows of ${shown(table)} in one statement`,
    happens:
      'each row stays locked until the last one is done, an error in one rolls back all, and vacuum can remove nothing that was updated or deleted since',
    instead: 'make it a data migration, which runs in chunks: umzug-cluster create --kind set --name NAME',
  },
  'set-not-null': {
    kinds: ['alter column', 'add constraint'],
    applies: (change, { isGiven }) =>
      change.kind === 'alter column'
        ? change.rest === 'set not null' && !isGiven(change)
        : change.rest.startsWith('not null ') && !change.rest.endsWith(' not valid'),
    does: ({ kind, table, of }) =>
      `sets ${kind === 'alter column' ? `${shown(table)}.${of}` : `a column of ${shown(table)}`} to not null without a validated check`,
    happens: `the whole table is read while it is locked: ${blocksAll}`,
    instead: `add a check (… is not null) not valid and validate it first, ${alone}, as the last file of umzug-cluster create --kind slug does`,
  },
  'required-column': {
    kinds: ['add column'],
    applies: ({ rest }) => {
      const words = ` ${outside(rest)} `;
      return / not null /.test(words) && !/ (?:default|generated) /.test(words) && !counts.test(rest);
    },
    does: ({ table, of }) => `adds the column ${of} to ${shown(table)} as not null and without a default`,
    happens: 'it fails if the table has a row, and inserts of the application that is running fail',
    instead:
      'add it without not null, fill it, and set not null afterwards: umzug-cluster create --kind slug has the three steps',
  },
  'volatile-default': {
    kinds: ['add column'],
    applies: isRewritten,
    does: ({ table, of }) =>
      `adds the column ${of} to ${shown(table)} with a value that differs from row to row`,
    happens: `the whole table is rewritten while it is locked: ${blocksAll}`,
    instead:
      'add the column without it, set the default in a second statement, and fill the rows in a data migration: umzug-cluster create --kind copy-column',
  },
  'type-change': {
    kinds: ['alter column'],
    applies: ({ rest }) => otherForm.test(rest),
    does: ({ table, of }) => `changes the type of ${shown(table)}.${of}`,
    happens: `the whole table and its indexes are rewritten while it is locked: ${blocksAll}`,
    instead: 'fill a second column and swap the two: umzug-cluster create --kind change-type',
  },
  'index-without-concurrently': {
    kinds: ['create index'],
    applies: () => true,
    does: ({ table }) => `builds an index on ${shown(table)} without concurrently`,
    happens: 'every insert, update and delete on the table waits until the index is built',
    instead: `create index concurrently if not exists …, ${alone}, as umzug-cluster create --kind dedupe does`,
  },
  'concurrently-in-transaction': {
    kinds: ['concurrently'],
    evenIfNew: true,
    applies: (_change, { isTransaction }) => isTransaction,
    does: () => 'uses concurrently in a file that runs in a transaction',
    happens: 'Postgres refuses the statement',
    instead: 'export const options = { transaction: false }',
  },
  'unique-without-index': {
    kinds: ['add constraint', 'add column'],
    applies: ({ kind, rest }) =>
      kind === 'add constraint'
        ? /^(?:unique|primary key|exclude) /.test(rest) && !/^(?:unique|primary key) using index /.test(rest)
        : / (?:unique|primary key)(?: |$)/.test(` ${outside(rest)}`) && !isRewritten({ rest } as Change),
    does: ({ table }) => `adds a constraint to ${shown(table)} that builds its index`,
    happens: `the index is built while the table is locked: ${blocksAll}`,
    instead: `create unique index concurrently …, ${alone}, then add constraint … unique using index …: umzug-cluster create --kind dedupe, change-type`,
  },
  'foreign-key-without-not-valid': {
    kinds: ['add constraint'],
    applies: ({ rest }) => rest.startsWith('foreign key ') && !/ not valid\b/.test(rest),
    does: ({ table }) => `adds a foreign key to ${shown(table)} without NOT VALID`,
    happens: 'every row is checked while writes to both tables wait',
    instead: validatedLater,
  },
  'check-without-not-valid': {
    kinds: ['add constraint'],
    applies: ({ rest }) => rest.startsWith('check ') && !/ not valid\b/.test(rest),
    does: ({ table }) => `adds a check to ${shown(table)} without NOT VALID`,
    happens: `every row is checked while the table is locked: ${blocksAll}`,
    instead: validatedLater,
  },
  'validate-in-transaction': {
    kinds: ['validate constraint'],
    applies: ({ of }, { isTransaction, all }) =>
      isTransaction && all.some(({ kind, of: added }) => kind === 'add constraint' && added === of),
    does: ({ table, of }) => `validates ${of} of ${shown(table)} in the transaction that adds it`,
    happens: 'the lock of the statement that adds it is held while every row is checked',
    instead: `validate it in a second file, or ${alone}`,
  },
  rename: {
    kinds: ['rename column', 'rename table'],
    applies: (change, { all }) =>
      !all.some((other) => other !== change && (givesName(other, change) || takesName(change, other))),
    does: ({ kind, table, of, to }) =>
      `renames ${kind === 'rename table' ? shown(table) : `${shown(table)}.${of}`} to ${to}`,
    happens: 'the application that is running fails from here on until its next release, which fails before',
    instead:
      'fill a second column, and drop the first in a later release: umzug-cluster create --kind copy-column; for a table create a view with the old name in the same file',
  },
  'lock-table': {
    kinds: ['lock table'],
    applies: ({ rest }) => !unlocking.test(rest),
    does: ({ table }) => `locks the table ${shown(table)}`,
    happens: 'whoever uses the table waits until the migration is done',
    instead: 'leave it out: each statement takes the lock that it needs',
  },
  'table-rewrite': {
    kinds: ['rewrite'],
    applies: () => true,
    does: ({ table }) => `rewrites the table ${shown(table)}`,
    happens: `it is locked for that long: ${blocksAll}`,
    instead: 'use pg_repack or a similar tool, or do it while the application is stopped',
  },
} satisfies Readonly<Record<string, Rule>>;
