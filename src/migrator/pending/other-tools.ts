import type { Config } from '../../config/config.ts';
import { quote } from '../../core/values/quote.ts';
import { counted } from '../../core/values/numbers.ts';
import { type OtherTool, otherToolNames } from '../../core/values/other-tools.ts';
import { type UmzugClusterError, fail } from '../../errors.ts';
import { type MigrationFile, nameOfFile } from '../../migration/file/folder.ts';
import type { Session } from '../../postgres/session.ts';
import { drizzleNames, requireJournal } from './drizzle.ts';
import { authorSearchPath, emptySearchPath } from '../../postgres/transaction.ts';

interface Tool {
  /** The names that its table has by default, the usual one first. */
  readonly tables: readonly [string, ...string[]];
  /** The column with the name of what is executed. */
  readonly column: string;
  /** Which of its rows are executed, where not all are. */
  readonly where?: string;
  /** The names of the files of what it records, where the two differ. */
  readonly filesOf?: (recorded: readonly string[], places: OtherPlaces) => readonly string[];
}

/** Where another tool records what it has executed. */
const otherTools = {
  knex: { tables: ['knex_migrations'], column: 'name' },
  sequelize: { tables: ['SequelizeMeta', 'sequelize_meta'], column: 'name' },
  umzug: { tables: ['SequelizeMeta', 'sequelize_meta'], column: 'name' },
  'node-pg-migrate': { tables: ['pgmigrations'], column: 'name' },
  kysely: { tables: ['kysely_migration'], column: 'name' },
  typeorm: {
    tables: ['migrations'],
    column: 'name',
    // It records the class, CreateUsers1700000000000, of the file 1700000000000-CreateUsers.
    filesOf: (recorded) => recorded.map((name) => name.replace(/^(.+?)(\d{13})$/, '$2-$1')),
  },
  mikroorm: { tables: ['mikro_orm_migrations'], column: 'name' },
  prisma: {
    tables: ['_prisma_migrations'],
    column: 'migration_name',
    where: 'finished_at is not null and rolled_back_at is null',
  },
  drizzle: { tables: ['drizzle.__drizzle_migrations'], column: 'created_at', filesOf: drizzleNames },
} as const satisfies Readonly<Record<OtherTool, Tool>>;

/** A tool's own record of what is executed. */
export interface OtherRecord {
  readonly tool: OtherTool;
  /** The table, as it was looked for. */
  readonly table: string;
  /** Names without extension, in the order in which they were executed. */
  readonly names: readonly string[];
}

/** Where to look for the tables of other tools. */
export interface OtherPlaces extends Pick<Config, 'cwd' | 'migrationsDirs'> {
  readonly searchPath: readonly string[] | null;
  /** The table of knex, where the knexfile names one; perhaps `schema.name`. */
  readonly knexTable: string | null;
}

/**
 * Reads what another tool has executed. In an open transaction; leaves an empty search path behind. `table`: its
 * name, where it is not the tool's default; perhaps `schema.name`. Throws CONFIG where it is not there, PERMISSION where it may not be read.
 */
export async function readOtherTool(
  session: Session,
  tool: OtherTool,
  table: string | undefined,
  places: OtherPlaces,
): Promise<OtherRecord> {
  if (tool === 'drizzle') requireJournal(places);
  const wanted = table === undefined ? tablesOf(tool, places) : [table];
  await session.query(authorSearchPath(places.searchPath));
  const found = await lookUp(
    session,
    wanted.map((name) => ({ tool, table: name })),
  );
  const usable = found.find(({ state }) => state === 'readable');
  if (usable === undefined) {
    const isThere = found.find(({ state }) => state !== 'missing');
    const name = isThere?.table ?? wanted[0] ?? tool;
    throw fail(isThere?.state === 'forbidden' ? 'PERMISSION' : 'CONFIG', {
      message: {
        missing: `there is no table "${name}", in which ${tool} records its migrations`,
        other: `table "${name}" has no column "${otherTools[tool].column}": it is not the one in which ${tool} records its migrations`,
        forbidden: `table "${name}" of ${tool} may not be read`,
        readable: '',
      }[isThere?.state ?? 'missing'],
      detail: `search_path is ${found[0]?.path ?? ''}`,
      hint:
        isThere?.state === 'forbidden'
          ? 'grant SELECT on it to this role'
          : 'give it with --table SCHEMA.TABLE',
    });
  }
  const record = await readRecord(session, usable, places);
  await session.query(emptySearchPath);
  return record;
}

/**
 * What other tools record of these files as executed: running them again may change data twice. In an open
 * transaction; leaves an empty search path behind. A table that this role may not read is passed over.
 */
export async function recordedElsewhere(
  session: Session,
  files: readonly Pick<MigrationFile, 'name'>[],
  places: OtherPlaces,
): Promise<readonly OtherRecord[]> {
  // umzug's table is Sequelize's.
  const tools = otherToolNames.filter((tool) => tool !== 'umzug');
  const asked = tools.flatMap((tool) => tablesOf(tool, places).map((table) => ({ tool, table })));
  const known = new Set(files.map(({ name }) => name));
  const records: OtherRecord[] = [];
  await session.query(authorSearchPath(places.searchPath));
  for (const found of await lookUp(session, asked)) {
    if (found.state !== 'readable') continue;
    const { names, ...record } = await readRecord(session, found, places);
    const here = names.filter((name) => known.has(name));
    if (here.length > 0) records.push({ ...record, names: here });
  }
  await session.query(emptySearchPath);
  return records;
}

const mostListed = 5;

/** The refusal to run what another tool has run; null where none has. */
export function recordedError(records: readonly OtherRecord[]): UmzugClusterError | null {
  const [first] = records;
  if (first === undefined) return null;
  const { tool, table, names } = first;
  const more = names.length - mostListed;
  const isDefault = (otherTools[tool].tables as readonly string[]).includes(table);
  const takeOver = `umzug-cluster baseline --from ${tool}${isDefault ? '' : ` --table ${table}`}`;
  return fail('RECORDED_ELSEWHERE', {
    message: `${table} records ${counted(names.length, 'file')} of this folder as executed by ${tool}: ${names.slice(0, mostListed).join(', ')}${more > 0 ? `, and ${more} more` : ''}`,
    detail: 'running them again may change data twice; nothing was run',
    hint: `take them over with: ${takeOver}; or run them all the same with: umzug-cluster up --run-recorded`,
  });
}

function tablesOf(tool: OtherTool, { knexTable }: OtherPlaces): readonly string[] {
  const { tables } = otherTools[tool];
  return tool === 'knex' && knexTable !== null ? [knexTable, ...tables] : tables;
}

interface Asked {
  readonly tool: OtherTool;
  readonly table: string;
}

interface Found extends Asked {
  readonly state: 'missing' | 'other' | 'forbidden' | 'readable';
  readonly hasId: boolean;
  readonly path: string;
}

/** Looks tables up by the search path in force, in one statement. */
async function lookUp(session: Session, asked: readonly Asked[]): Promise<readonly Found[]> {
  const { rows } = await session.query(
    `select pg_catalog.current_setting('search_path') as path,
            case when t.oid is null then 'missing'
                 when not exists (select from pg_catalog.pg_attribute as a
                                  where a.attrelid operator(pg_catalog.=) t.oid and not a.attisdropped
                                    and a.attname operator(pg_catalog.=) asked.col::pg_catalog.name) then 'other'
                 when not pg_catalog.has_table_privilege(t.oid, 'select') then 'forbidden'
                 else 'readable' end as state,
            exists (select from pg_catalog.pg_attribute as a
                    where a.attrelid operator(pg_catalog.=) t.oid and not a.attisdropped
                      and a.attname operator(pg_catalog.=) 'id'::pg_catalog.name) as has_id
     from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]))
          with ordinality as asked (written, col, no)
     cross join lateral (select pg_catalog.to_regclass(asked.written)::pg_catalog.oid as oid) as t
     order by asked.no using operator(pg_catalog.<)`,
    [asked.map(({ table }) => written(table)), asked.map(({ tool }) => otherTools[tool].column)],
  );
  return asked.map((one, index) => {
    const row = rows[index] ?? {};
    const state = row['state'] as Found['state'];
    return { ...one, state, hasId: row['has_id'] === true, path: String(row['path']) };
  });
}

/** The names of the files that a tool means by what it records. */
export function filesRecordedAs(
  tool: OtherTool,
  recorded: readonly string[],
  places: OtherPlaces,
): readonly string[] {
  const { filesOf }: Tool = otherTools[tool];
  return filesOf?.(recorded, places) ?? recorded;
}

async function readRecord(
  session: Session,
  { tool, table, hasId }: Found,
  places: OtherPlaces,
): Promise<OtherRecord> {
  const { column, where }: Tool = otherTools[tool];
  const { rows } = await session.query(
    `select ${quote(column)}::pg_catalog.text as name from ${written(table)}
     ${where === undefined ? '' : `where ${where}`} order by ${hasId && tool !== 'prisma' ? 'id' : quote(column)}`,
  );
  const names = rows.map((row) => nameOfFile(String(row['name'])));
  return { tool, table, names: filesRecordedAs(tool, names, places) };
}

function written(table: string): string {
  return table.split('.').map(quote).join('.');
}
