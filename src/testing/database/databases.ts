import { quote } from '../../core/values/quote.ts';
import { randomBytes } from 'node:crypto';
import type pgModule from 'pg';
import { describeDatabase } from '../../config/database.ts';
import { fail, messageOf } from '../../errors.ts';
import { pg } from '../../postgres/pg.ts';

/** The databases of one test, on one server. They are dropped when it ends. */
export interface Databases {
  /** Makes a database: a copy of one made before, or else of what the test starts from. Returns its URL. */
  make(copyOf?: string): Promise<string>;
}

/** Names of the test's databases begin with this. */
const prefix = 'umzug_cluster_test_';

export interface Origin {
  readonly url: string;
  /** Starts from all that the database holds; otherwise it must be empty. */
  readonly copyRows: boolean;
}

/** Gives `work` databases, and drops them. Throws CONFIG, PERMISSION or DATABASE_UNAVAILABLE. */
export async function withDatabases<Result>(
  { url, copyRows }: Origin,
  work: (databases: Databases) => Promise<Result>,
): Promise<Result> {
  const made: string[] = [];
  return await withClient(url, async (admin) => {
    const template = await templateOf(admin, copyRows, describeDatabase(url));
    const make = async (copyOf?: string): Promise<string> => {
      const name = prefix + randomBytes(8).toString('hex');
      const from = copyOf === undefined ? template : databaseIn(copyOf);
      await create(admin, name, from);
      made.push(name);
      return withName(url, name);
    };
    try {
      return await work({ make });
    } finally {
      for (const name of made) await admin.query(`drop database if exists ${quote(name)} with (force)`);
    }
  });
}

/** Gives `work` a client that is connected. Throws DATABASE_UNAVAILABLE. */
export async function withClient<Result>(
  url: string,
  work: (client: pgModule.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  // The next query reports it.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw fail('DATABASE_UNAVAILABLE', {
      message: `testMigration: cannot connect to ${describeDatabase(url)}: ${messageOf(error)}`,
      cause: error,
    });
  }
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * What new databases are copies of. An empty database may hold extensions, or sort in its own way, and both are
 * needed; else any empty one will do, which nobody can be connected to.
 */
async function templateOf(admin: pgModule.Client, copyRows: boolean, label: string): Promise<string> {
  const { rows } = await admin.query<{ name: string; special: boolean; tables: string[] }>(
    `select current_database() as name,
            exists (select from pg_extension where extname <> 'plpgsql') or (
              select count(distinct jsonb_build_array(encoding, datcollate, datctype,
                to_jsonb(d) -> 'datlocprovider', to_jsonb(d) -> 'daticulocale', to_jsonb(d) -> 'datlocale'))
              from pg_database as d where datname in (current_database(), 'template0')) > 1 as special,
            (select coalesce(array_agg(c.oid::regclass::text order by 1), '{}') from pg_class as c
             where c.relkind in ('r', 'p', 'v', 'm', 'f')
               and c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'pg_toast')
               and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')) as tables`,
  );
  const { name = '', special = false, tables = [] } = rows[0] ?? {};
  if (tables.length > 0 && !copyRows) {
    const some = tables.slice(0, 3).join(', ') + (tables.length > 3 ? ', …' : '');
    throw fail('CONFIG', {
      message: `testMigration: the database ${label} is not empty: it has ${some}`,
      hint: 'use an empty database, or set copyRows: true to test on copies of it; it is never written to',
    });
  }
  return copyRows || special ? name : 'template0';
}

async function create(admin: pgModule.Client, name: string, template: string): Promise<void> {
  try {
    await admin.query(`create database ${quote(name)} template ${quote(template)}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === '42501') {
      throw fail('PERMISSION', {
        message: `testMigration: the role may not create databases: ${messageOf(error)}`,
        hint: 'the test creates its own databases: alter role … createdb; copies need ownership of the original',
        cause: error,
      });
    }
    if (code !== '55006') throw error;
    throw fail('CONFIG', {
      message: `testMigration: the database ${template} cannot be copied while others are connected to it`,
      hint: 'close their connections first, or use a database that nobody uses',
      cause: error,
    });
  }
}

function databaseIn(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

function withName(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
