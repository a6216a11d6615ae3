/** One chunk at a time, so that a crash comes where it should. */
const settings = {
  // The database of a test is its own.
  UMZUG_CLUSTER_EMBEDDED: '',
  UMZUG_CLUSTER_LANES: '1',
  // A snapshot spans all databases of a server, and nobody else writes in those of the test.
  UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS: 'false',
};

/** What the command line is given as environment: that of the test, on this database. */
export function environmentOn(url: string): NodeJS.ProcessEnv {
  return { ...process.env, ...settings, DATABASE_URL: url };
}
