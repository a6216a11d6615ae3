import type { Knex } from 'knex';

const shared: Knex.Config = {
  client: 'pg',
  migrations: { directory: './migrations' },
};

// No connection here: DATABASE_URL is used where it is set, else the embedded server (never in production).
const environments: Record<string, Knex.Config> = {
  development: shared,
  test: shared,
  production: shared,
};

export default environments;
