import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { codeOf, fail, messageOf } from '../../errors.ts';

/** Where a server listens. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** Another port will do. */
  readonly isAnyPort: boolean;
}

const usualHost = '127.0.0.1';

/** The place that `HOST:PORT` names; null: on this host alone, at the usual port or a free one. Throws USAGE. */
export function placeNamed(listen: string | null, usualPort: number): Place {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(listen ?? '') ?? [];
  const host = bracketed ?? plain ?? usualHost;
  const port = Number(digits ?? usualPort);
  if ((listen !== null && digits === undefined) || port > 65_535) {
    throw fail('USAGE', {
      message: `--listen must be HOST:PORT: got "${listen}"`,
      hint: `for example --listen ${usualHost}:${usualPort}`,
    });
  }
  return { host, port, isAnyPort: listen === null };
}

/** Has a server listen; its URL, without a slash at the end. Throws CONFIG where it cannot. */
export async function listenAt(server: Server, { host, port, isAnyPort }: Place): Promise<string> {
  const tryPort = (wanted: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(wanted, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  try {
    await tryPort(port).catch(async (error: unknown) => {
      if (!isAnyPort || codeOf(error) !== 'EADDRINUSE') throw error;
      await tryPort(0);
    });
  } catch (error) {
    throw fail('CONFIG', {
      message: `cannot listen on ${host}:${port}: ${messageOf(error)}`,
      hint: 'choose another place with --listen HOST:PORT; port 0 is any free one',
      cause: error,
    });
  }
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
}

/** Ends a server together with its connections. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
