import { type UmzugClusterError, fail } from '../errors.ts';

/** The oldest release that works, as `server_version_num`. */
export const oldestServer = 140_000;

/** What is reported about a server that replays what another one writes. */
export const onStandby = 'the server is a standby, which is read-only';

/** Refuses, before any statement, a server that says that it is too old. What it does is tried later. */
export function requireSupported(parameters: ReadonlyMap<string, string>): void {
  const version = parameters.get('server_version') ?? '';
  const major = Number(/^\d+/.exec(version)?.[0] ?? NaN);
  if (major * 10_000 < oldestServer) throw unsupported(`PostgreSQL ${version}`);
}

/** The refusal of a server. */
export function unsupported(server: string): UmzugClusterError {
  return fail('SERVER_UNSUPPORTED', {
    message: `the server is ${server}`,
    detail: 'umzug-cluster needs PostgreSQL 14 or newer',
    hint: 'upgrade the server, or check that the URL names the one that is meant',
  });
}
