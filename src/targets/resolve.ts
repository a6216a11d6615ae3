import { openControl } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import { schemaIn } from '../config/database.ts';
import {
  type Reached,
  type TargetEntry,
  type TargetsConfig,
  requireUsableName,
  requireUsableSchema,
} from '../config/targets.ts';
import { namesMeant, nearTarget } from '../core/targets/names.ts';
import { ledgerBeside } from '../core/values/ledger-place.ts';
import { mostListed } from '../core/values/numbers.ts';
import { fail } from '../errors.ts';
import { reading } from '../postgres/transaction.ts';

/** One database or schema that the command works on, with the configuration of it alone. */
export interface Target {
  readonly name: string;
  readonly config: Config;
}

interface Found {
  readonly name: string;
  readonly database: Reached;
  readonly schema: string | null;
  readonly isElsewhere: boolean;
}

/**
 * The targets of a configuration, in its order, or those that `--targets` asks for; schemas by their names. Asks the
 * databases which schemas there are. Throws CONFIG and USAGE, and for none at all: a deploy of nothing is no success.
 */
export async function resolveTargets(config: Config, targets: TargetsConfig): Promise<readonly Target[]> {
  const found: Found[] = [];
  for (const entry of await targets.entries()) found.push(...(await foundFor(entry, config, targets)));
  refuseTwice(found, targets);
  return choose(found, targets).map((one) => ({ name: one.name, config: configOf(one, config) }));
}

async function foundFor(
  entry: TargetEntry,
  config: Config,
  targets: TargetsConfig,
): Promise<readonly Found[]> {
  const { place, name, schemas } = entry;
  const database = entry.database ?? ownDatabase(config, targets);
  const common = { database, isElsewhere: entry.database !== null };
  if (schemas.length === 0) {
    const schema = entry.schema ?? schemaIn(database.connection);
    return [{ ...common, name: name ?? schema ?? '', schema }];
  }
  const there = await schemasLike(schemas, { ...config, database });
  return there.map((schema) => {
    requireUsableSchema(schema, `${place}: "${schema}", which is like one of its schemas,`);
    const full = name === null ? schema : `${name}/${schema}`;
    requireUsableName(full, place);
    return { ...common, name: full, schema };
  });
}

/** An embedded server was started by whoever asks. */
function ownDatabase({ database }: Config, targets: TargetsConfig): Reached {
  const own = targets.database();
  if (database.kind === 'connection') return database;
  if (own.kind === 'connection') return own;
  throw fail('INTERNAL', { message: 'the embedded server must be started before it is asked for schemas' });
}

/** Sorted by code unit, so that each host has the same order; without those of Postgres itself. */
async function schemasLike(patterns: readonly string[], config: Config): Promise<readonly string[]> {
  const control = openControl(config);
  try {
    const { rows } = await control.use((session) =>
      reading(session, () =>
        session.query(
          `select nspname::text as name from pg_catalog.pg_namespace
           where nspname like any ($1) and nspname !~ '^pg_' and nspname not in ('information_schema', $2)
           order by nspname collate "C"`,
          [patterns, config.ledgerSchema],
        ),
      ),
    );
    return rows.map(({ name }) => String(name));
  } finally {
    await control.close();
  }
}

/** Two of the same would be worked on twice at a time, and be counted twice. */
function refuseTwice(found: readonly Found[], { place }: TargetsConfig): void {
  const names = new Set<string>();
  const places = new Map<string, string>();
  for (const { name, database, schema } of found) {
    const { connection, label } = database;
    // Nobody knows what a function will return.
    const key = typeof connection === 'function' ? `by ${name}` : JSON.stringify([label, schema]);
    const other = places.get(key);
    places.set(key, name);
    if (!names.has(name) && other === undefined) {
      names.add(name);
      continue;
    }
    throw fail('CONFIG', {
      message: names.has(name)
        ? `${place}: two targets have the name "${name}"`
        : `${place}: "${other}" and "${name}" are the same ${schema === null ? 'database' : 'schema of the same database'}`,
      detail: `${label}${schema === null ? '' : `, schema ${schema}`}`,
      hint: 'remove one of them, or give each a name, and a connection or a schema, of its own',
    });
  }
}

function choose(found: readonly Found[], { asked, place }: TargetsConfig): readonly Found[] {
  const names = found.map(({ name }) => name);
  if (names.length === 0) {
    throw fail('CONFIG', {
      message: `${place}: there is no target`,
      detail: 'nothing was done',
      hint: 'check the list, or the pattern of schemas, in which % is any text and _ any character, and the database',
    });
  }
  if (asked === null) return found;
  const { meant, unknown } = namesMeant(asked, names);
  if (unknown === null) return found.filter(({ name }) => meant.has(name));
  const near = nearTarget(unknown, names);
  const more = names.length - mostListed;
  throw fail('USAGE', {
    message: `--targets: no target is named "${unknown}"${near === null ? '' : `, did you mean "${near}"?`}`,
    detail: `targets: ${names.slice(0, mostListed).join(', ')}${more > 0 ? `, and ${more} more` : ''}`,
    hint: 'give names separated by commas, in which * stands for any text',
  });
}

/** As if it were the only one. What the knexfile has as searchPath is behind the schema of a tenant. */
function configOf({ name, database, schema, isElsewhere }: Found, config: Config): Config {
  const own = config.database.kind === 'connection' ? schemaIn(config.database.connection) : null;
  const shared = own === null ? (config.searchPath ?? []) : [];
  const path = schema === null ? shared : [schema, ...shared.filter((one) => one !== schema)];
  const label = schema === null ? database.label : `${database.label}, schema ${schema}`;
  return Object.freeze({
    ...config,
    targets: null,
    target: Object.freeze({ name, schema, isElsewhere }),
    database: Object.freeze({ ...database, label }),
    searchPath: path.length === 0 ? null : Object.freeze(path),
    ...(schema === null ? {} : { ledgerSchema: ledgerBeside(schema) }),
  });
}
