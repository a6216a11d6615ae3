import type { Knex } from 'knex';
import { contentOf } from '../file/imports.ts';
import type { LoadedMigration } from '../file/loader.ts';
import { selectedSql } from '../file/offline.ts';
import { type Allow, allowsInFile, mistakesIn } from './allow.ts';
import { statementsSent } from './capture.ts';
import { Contracts, contractRule } from './contracts.ts';
import { type LintFinding, finding } from './finding.ts';
import { GivenColumns } from './given-columns.ts';
import { rules } from './rules.ts';
import { SchemaFile } from './schema-file.ts';
import { readStatement } from './statement.ts';

const known: readonly string[] = [...Object.keys(rules), contractRule];

export interface Linted {
  readonly findings: readonly LintFinding[];
  /** Schema migrations whose statements are not all known. */
  readonly unread: readonly string[];
}

/**
 * What is risky about migrations, given in their order. Runs no statement; of one that cannot be known without a
 * database nothing is reported. `isOneDeploy`: one `up` is going to run them all.
 */
export async function lintMigrations(
  migrations: readonly LoadedMigration[],
  { isOneDeploy, knexConfig }: { readonly isOneDeploy: boolean; readonly knexConfig: Knex.Config },
): Promise<Linted> {
  const findings: LintFinding[] = [];
  const unread: string[] = [];
  const given = new GivenColumns();
  const contracts = new Contracts(isOneDeploy);
  for (const migration of migrations) {
    const source = contentOf(migration.path).toString('utf8');
    const allows = allowsInFile(source);
    if (migration.kind === 'data') {
      const select = selectedSql(migration, knexConfig);
      if (select !== null) findings.push(...contracts.backfill(migration.name, readStatement(select)));
      findings.push(...aboutAllows(migration, allows, true));
    } else {
      const captured = await statementsSent(migration, source, knexConfig);
      if (!captured.isComplete) unread.push(migration.name);
      const file = new SchemaFile(migration, captured, allows);
      findings.push(
        ...file.findings(given),
        ...contracts.change(file),
        ...aboutAllows(migration, file.allows, captured.isComplete),
      );
    }
  }
  return { findings, unread };
}

function aboutAllows(
  migration: LoadedMigration,
  allows: readonly Allow[],
  isComplete: boolean,
): readonly LintFinding[] {
  return mistakesIn(allows, known, isComplete).map(({ line, rule, does, instead }) => ({
    ...finding({ migration, line, allows: [] }, rule, { does, happens: null, instead }),
    hint: instead,
  }));
}
