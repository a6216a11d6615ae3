import {
  type Statement,
  type Table,
  isSame,
  listed,
  name,
  nameOf,
  relation,
  sourcesOf,
  tableOf,
} from './statement.ts';

/** One thing that a statement of a schema migration does to a table. */
export interface Change {
  readonly kind: Kind;
  readonly table: Table;
  /** The column or the constraint that it names. */
  readonly of: string;
  /** The new name; of a write the verb. */
  readonly to: string;
  /** What follows, in the words of `Statement.text`. */
  readonly rest: string;
  readonly statement: Statement;
}

export type Kind =
  | 'create table'
  | 'drop table'
  | 'rename table'
  | 'add column'
  | 'alter column'
  | 'drop column'
  | 'rename column'
  | 'add constraint'
  | 'validate constraint'
  | 'drop constraint'
  | 'create index'
  | 'concurrently'
  | 'lock table'
  | 'rewrite'
  | 'write rows';

type Form = readonly [kind: Kind, pattern: RegExp];

const form = (kind: Kind, pattern: string): Form => [
  kind,
  new RegExp(
    `^${pattern.replaceAll('TABLE', `(?<table>${relation})`).replaceAll('NAME', `(?<of>${name})`).replaceAll('TO', `(?<to>${name})`)}(?<rest>(?: .*)?)$`,
  ),
];

const statements: readonly Form[] = [
  form(
    'create table',
    '(?:create (?:(?:global|local|temp|temporary|unlogged) )*table|create (?:or replace )?(?:materialized )?view) (?:if not exists )?TABLE',
  ),
  form(
    'create index',
    'create (?:unique )?index (?:if not exists )?(?:(?!on |concurrently )NAME )?on (?!only )TABLE',
  ),
  form(
    'concurrently',
    `(?:create (?:unique )?index|drop index|reindex (?:\\( .* \\) )?(?:index|table|schema)) concurrently (?:if (?:not )?exists )?(?:(?:${name} )?on )?(?:only )?TABLE`,
  ),
  form('create index', 'reindex (?:\\( .* \\) )?table (?!concurrently )TABLE'),
  form('lock table', 'lock (?:table )?(?:only )?TABLE'),
  form(
    'rewrite',
    '(?:vacuum (?:full|\\( [^()]*\\bfull\\b[^()]* \\))(?: (?:freeze|verbose|analyze))*|cluster(?: verbose)?) TABLE',
  ),
];

const actions: readonly Form[] = [
  form(
    'add constraint',
    'add(?: constraint NAME)?(?= (?:foreign key|check|unique|primary key|exclude|not null) )',
  ),
  form('add column', 'add (?!constraint )(?:column )?(?:if not exists )?NAME'),
  form('drop constraint', 'drop constraint (?:if exists )?NAME'),
  form('drop column', 'drop (?:column )?(?:if exists )?NAME'),
  form('validate constraint', 'validate constraint NAME'),
  form('alter column', 'alter (?!constraint )(?:column )?NAME'),
  form('rename table', 'rename to TO'),
  form('rename column', 'rename (?!constraint |to )(?:column )?NAME to TO'),
  form('rewrite', 'set (?:logged|unlogged|tablespace|access method)'),
];

const alterTable = new RegExp(`^alter table (?:if exists )?(?:only )?(${relation})(?: \\*)? (.*)$`);
const dropTable = /^drop (?:table|materialized view|view) (?:if exists )?(.*?)(?: cascade| restrict)?$/;
const writes = new RegExp(
  `(?:^|[()] )(update|delete from|insert into|merge into) (?:only )?(${relation})`,
  'g',
);

/** What a statement does, as far as it is known here; what it calls, and what is in a text of it, is not. */
export function changesOf(statement: Statement): readonly Change[] {
  const { text } = statement;
  const altered = alterTable.exec(text);
  if (altered !== null) {
    const table = tableOf(statement, altered[1] ?? '');
    return listed(altered[2] ?? '').flatMap((action) => {
      const change = matched(statement, actions, action);
      return change === null ? [] : [{ ...change, table }];
    });
  }
  const dropped = dropTable.exec(text);
  if (dropped !== null) {
    return listed(dropped[1] ?? '').map((written) =>
      made(statement, 'drop table', tableOf(statement, written)),
    );
  }
  if (/^(?:with|update|delete|insert|merge) /.test(text)) return writesOf(statement);
  const change = matched(statement, statements, text);
  return change === null ? [] : [change];
}

function matched(statement: Statement, forms: readonly Form[], text: string): Change | null {
  for (const [kind, pattern] of forms) {
    const found = pattern.exec(text);
    if (found === null) continue;
    const { table = '', of = '', to = '', rest = '' } = found.groups ?? {};
    const parts = { of: nameOf(statement, of), to: nameOf(statement, to), rest: rest.trim() };
    return { ...made(statement, kind, tableOf(statement, table)), ...parts };
  }
  return null;
}

function made(statement: Statement, kind: Kind, table: Table, to = ''): Change {
  return { kind, table, of: '', to, rest: '', statement };
}

/** Rows that are changed; and those of each table that are copied, into whichever. Rows that are given are new ones. */
function writesOf(statement: Statement): readonly Change[] {
  const found = [...statement.text.matchAll(writes)].map(
    ([, verb = '', written = '']) => [verb, tableOf(statement, written)] as const,
  );
  const changed = found.filter(([verb]) => verb !== 'insert into');
  if (changed.length > 0 || found.length === 0) {
    return changed.map(([verb, table]) => made(statement, 'write rows', table, verb.replace(/ .*/, '')));
  }
  return sourcesOf(statement).map(({ table }) => made(statement, 'write rows', table, 'copy'));
}

/**
 * Whether a query names a column of a table, `followed` by these words; null: the table. Where it does not say which
 * table's a column is, only if it reads no other.
 */
export function reads(statement: Statement, table: Table, column: string | null, followed = ''): boolean {
  const sources = sourcesOf(statement);
  const own = sources.filter((source) => isSame(source.table, table));
  if (own.length === 0 || column === null) return own.length > 0;
  const isOnly = own.length === sources.length;
  const tables = new Set(sources.flatMap((source) => [source.alias, source.table.name]));
  const qualifiers = new Set(own.flatMap((source) => [source.alias, source.table.name]));
  const columns = new RegExp(`(?<![:\\w$."])(?<! as )${relation}(?![\\w$."]| \\()${followed}`, 'g');
  return [...statement.text.matchAll(columns)].some(([written]) => {
    const { schema: qualifier, name: last } = tableOf(
      statement,
      written.slice(0, written.length - followed.length),
    );
    if (last !== column) return false;
    return qualifier === null ? isOnly && !tables.has(last) : qualifiers.has(qualifier);
  });
}

/** Whether something has the old name of what is renamed, so that who uses it finds that. */
export function givesName(other: Change, { kind, table, of }: Change): boolean {
  if (kind === 'rename table')
    return (
      (other.kind === 'rename table' && other.to === table.name) ||
      (other.kind === 'create table' && other.table.name === table.name)
    );
  if (other.table.name !== table.name) return false;
  return (
    (other.kind === 'rename column' && other.to === of) || (other.kind === 'add column' && other.of === of)
  );
}

/** Whether what is renamed gets the name that the other one had: what has both names is exchanged. */
export function takesName({ kind, table, to }: Change, other: Change): boolean {
  if (kind !== other.kind) return false;
  return kind === 'rename table' ? other.table.name === to : other.of === to && isSame(other.table, table);
}
