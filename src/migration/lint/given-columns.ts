import type { Change } from './changes.ts';
import { type Table, isSame, name, nameOf } from './statement.ts';

interface Check {
  readonly table: Table;
  readonly constraint: string;
  readonly columns: readonly string[];
  readonly isValid: boolean;
}

const notNull = new RegExp(`(${name}) is not null(?: |$)`, 'g');

/** Which columns a validated check keeps from being null, by the statements so far. */
export class GivenColumns {
  #checks: readonly Check[] = [];

  has({ table, of }: Change): boolean {
    return this.#checks.some(
      (check) => check.isValid && isSame(check.table, table) && check.columns.includes(of),
    );
  }

  note({ kind, table, of: constraint, rest, statement }: Change): void {
    const isIt = (check: Check): boolean => check.constraint === constraint && isSame(check.table, table);
    if (kind === 'add constraint' && rest.startsWith('check ')) {
      const columns = [...rest.matchAll(notNull)].map(([, written = '']) => nameOf(statement, written));
      this.#checks = [...this.#checks, { table, constraint, columns, isValid: !rest.endsWith(' not valid') }];
    }
    if (kind === 'validate constraint') {
      this.#checks = this.#checks.map((check) => (isIt(check) ? { ...check, isValid: true } : check));
    }
    if (kind === 'drop constraint') this.#checks = this.#checks.filter((check) => !isIt(check));
  }
}
