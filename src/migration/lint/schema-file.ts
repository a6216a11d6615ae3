import type { LoadedMigration } from '../file/loader.ts';
import { type Allow, allowsInSql, isAllowed } from './allow.ts';
import type { Captured } from './capture.ts';
import { type Change, changesOf } from './changes.ts';
import { type LintFinding, type Place, finding } from './finding.ts';
import type { GivenColumns } from './given-columns.ts';
import { type Rule, rules } from './rules.ts';
import { type Table, isSame, readStatement } from './statement.ts';

type Schema = Extract<LoadedMigration, { kind: 'schema' }>;

/** A schema migration, statement by statement. */
export class SchemaFile {
  readonly migration: Schema;
  readonly isComplete: boolean;
  readonly allows: readonly Allow[];
  readonly changes: readonly (Change & { readonly at: Place })[];
  readonly #made: Table[] = [];

  constructor(migration: Schema, { statements, isComplete }: Captured, inFile: readonly Allow[]) {
    this.migration = migration;
    this.isComplete = isComplete;
    const allows = [...inFile];
    this.changes = statements.flatMap(({ sql, line }) => {
      const statement = readStatement(sql);
      const inside = allowsInSql(statement.comments, line);
      allows.push(...inside);
      const above = inFile.filter((allow) => line === firstBelow(allow, statements));
      const at = { migration, line, allows: [...above, ...inside] };
      return changesOf(statement).map((change) => ({ ...change, at }));
    });
    this.allows = allows;
    for (const { kind, table, to } of this.changes) {
      if (kind === 'create table') this.#made.push(table);
      if (kind === 'rename table' && this.isNew(table)) this.#made.push({ ...table, name: to });
    }
  }

  /** Whether the file itself has made the table: nobody uses it yet. */
  isNew(table: Table): boolean {
    return this.#made.some((one) => isSame(one, table));
  }

  findings(given: GivenColumns): readonly LintFinding[] {
    const around = {
      isTransaction: this.migration.transaction,
      all: this.changes,
      isGiven: (change: Change) => given.has(change),
    };
    return this.changes.flatMap((change) => {
      const found = Object.entries<Rule>(rules).filter(
        ([, rule]) =>
          rule.kinds.includes(change.kind) &&
          (rule.evenIfNew === true || !this.isNew(change.table)) &&
          rule.applies(change, around),
      );
      given.note(change);
      return found.flatMap(([name, rule]) => this.#finding(name, rule, change));
    });
  }

  #finding(name: string, rule: Rule, change: Change & { readonly at: Place }): readonly LintFinding[] {
    if (isAllowed(change.at.allows, name)) return [];
    const { table, of } = change;
    const type = name === 'type-change' ? change.rest.replace(/^(?:set data )?type /, '') : null;
    // knex writes the type beside everything else that it alters.
    const needsCatalog =
      type !== null &&
      this.changes.some(
        (other) => other.at.line === change.at.line && other.of === of && other.rest === 'drop default',
      );
    return [
      {
        ...finding(change.at, name, { ...rule, does: rule.does(change) }),
        table,
        column: of,
        type,
        needsCatalog,
      },
    ];
  }
}

/** The line of the first statement below a comment. */
function firstBelow({ line }: Allow, statements: Captured['statements']): number {
  return Math.min(...statements.map((statement) => statement.line).filter((other) => other > line));
}
