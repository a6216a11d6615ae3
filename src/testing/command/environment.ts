import { type ArgValues, argVariable } from '../../core/config/args.ts';

/** One chunk at a time, so that a crash comes where it should. */
const settings = {
  // The database of a test is its own.
  UMZUG_CLUSTER_EMBEDDED: '',
  UMZUG_CLUSTER_TARGETS: 'none',
  UMZUG_CLUSTER_LANES: '1',
  // A snapshot spans all databases of a server, and nobody else writes in those of the test.
  UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS: 'false',
};

/** What the command line is given as environment: that of the test, on this database, with arguments of migrations. */
export function environmentOn(url: string, args: ArgValues = {}): NodeJS.ProcessEnv {
  const given = Object.entries(args).map(([name, value]) => [argVariable(name), String(value)] as const);
  return { ...process.env, ...settings, ...Object.fromEntries(given), DATABASE_URL: url };
}
