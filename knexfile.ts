import type { Knex } from 'knex';

const shared: Knex.Config = {
  client: 'pg',
  // The tool's own settings go beside knex's: `cluster: { workers: 4, targetMs: 500 }`; the README lists them.
  migrations: { directory: './migrations' },
};

// No connection here: DATABASE_URL is used where it is set, else the embedded server (never in production).
const environments: Record<string, Knex.Config> = {
  development: shared,
  test: shared,
  production: shared,
};

export default environments;
