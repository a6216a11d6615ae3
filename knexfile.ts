import type { Knex } from 'knex';

const shared: Knex.Config = {
  client: 'pg',
  // The tool's own settings go beside knex's: `cluster: { workers: 4, targetMs: 500 }`; the README lists them.
  migrations: { directory: './migrations' },
};

// No connection here: DATABASE_URL is used where it is set. Without it, development and test use the embedded server.
const local: Knex.Config = {
  ...shared,
  migrations: { ...shared.migrations, cluster: { embedded: true } } as Knex.MigratorConfig,
};

const environments: Record<string, Knex.Config> = { development: local, test: local, production: shared };

export default environments;
