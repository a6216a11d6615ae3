import { isAllowed } from './allow.ts';
import { type Change, givesName, reads } from './changes.ts';
import { type LintFinding, type Place, finding } from './finding.ts';
import type { SchemaFile } from './schema-file.ts';
import { type Statement, type Table, isSame, shown } from './statement.ts';

export const contractRule = 'contract-before-backfill';

/** What a schema migration takes away from data migrations. */
interface Gone {
  readonly table: Table;
  /** Null: the table itself. */
  readonly column: string | null;
  /** What comes after the column in a query that this is about. */
  readonly followed: string;
  readonly does: string;
  readonly at: Place;
}

/** Reports contracts that come before a data migration which needs what they take away, or with it. */
export class Contracts {
  readonly #isOneDeploy: boolean;
  #gone: readonly Gone[] = [];
  #backfills: readonly { readonly name: string; readonly select: Statement }[] = [];

  constructor(isOneDeploy: boolean) {
    this.#isOneDeploy = isOneDeploy;
  }

  /** Takes the next data migration. */
  backfill(name: string, select: Statement): readonly LintFinding[] {
    this.#backfills = [...this.#backfills, { name, select }];
    return this.#gone
      .filter(({ table, column, followed }) => reads(select, table, column, followed))
      .flatMap((gone) =>
        reported(gone, {
          does: `${gone.does} before ${name} has run, which selects by it`,
          happens: `${name} fails, or finds no row`,
          instead: `rename the file so that it comes after ${name}, and deploy it in a later release`,
        }),
      );
  }

  /** Takes the next schema migration. */
  change(file: SchemaFile): readonly LintFinding[] {
    for (const change of file.changes) {
      this.#gone = this.#gone.filter((one) => !isBack(one, change));
      if (!file.isNew(change.table)) this.#gone = [...this.#gone, ...goneBy(change, file)];
    }
    const gone = this.#gone.filter(({ at }) => at.migration === file.migration);
    // What is not known of the file may have brought back anything.
    if (!file.isComplete) this.#gone = [];
    if (!this.#isOneDeploy) return [];
    return gone.flatMap((one) => {
      if (!one.does.startsWith('drops')) return [];
      const using = this.#backfills.find(({ select }) => reads(select, one.table, one.column));
      if (using === undefined) return [];
      return reported(one, {
        does: `${one.does} in the same deploy as ${using.name}, which reads it`,
        happens:
          'the release of the application that still reads it is running, and fails; and the backfill can neither be checked nor rolled back any more',
        instead: `deploy it in a later release, when ${using.name} is done and nothing reads the old one`,
      });
    });
  }
}

function reported(
  { at }: Gone,
  words: { readonly does: string; readonly happens: string; readonly instead: string },
): readonly LintFinding[] {
  return isAllowed(at.allows, contractRule) ? [] : [finding(at, contractRule, words)];
}

function goneBy(change: SchemaFile['changes'][number], { changes }: SchemaFile): readonly Gone[] {
  const { kind, table, of, to, rest, at } = change;
  const whole = { table, column: null, followed: '', at };
  const column = { table, column: of, followed: '', at };
  const name = `${shown(table)}.${of}`;
  if (kind === 'drop table') return [{ ...whole, does: `drops ${shown(table)}` }];
  if (kind === 'drop column') return [{ ...column, does: `drops ${name}` }];
  if (kind === 'alter column' && rest === 'set not null') {
    return [{ ...column, followed: ' is null', does: `sets ${name} to not null` }];
  }
  if (!kind.startsWith('rename') || changes.some((other) => givesName(other, change))) return [];
  return [
    kind === 'rename table'
      ? { ...whole, does: `renames ${shown(table)} to ${to}` }
      : { ...column, does: `renames ${name} to ${to}` },
  ];
}

/** Whether what was gone is there again. */
function isBack(gone: Gone, { kind, table, of, to, rest }: Change): boolean {
  if (kind === 'create table') return isSame(table, gone.table);
  if (kind === 'rename table') return to === gone.table.name;
  if (!isSame(table, gone.table)) return false;
  if (kind === 'alter column') return of === gone.column && rest === 'drop not null';
  return (kind === 'add column' && of === gone.column) || (kind === 'rename column' && to === gone.column);
}
