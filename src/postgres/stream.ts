import type * as Pg from 'pg';

/** What of a connection's socket is of interest here. */
export interface Stream {
  readonly bytesRead: number;
  readonly localPort?: number;
  readonly remotePort?: number;
  destroy(): void;
  once(event: 'connect', listener: () => void): void;
  on(event: 'data', listener: (bytes: unknown) => void): void;
  off(event: 'data', listener: (bytes: unknown) => void): void;
  listeners(event: 'data'): ((bytes: unknown) => void)[];
  prependListener(event: 'data', listener: () => void): void;
}

interface Wire {
  readonly stream: Stream;
  on(event: 'parameterStatus', listener: (message: ParameterStatus) => void): void;
}

interface ParameterStatus {
  readonly parameterName: string;
  readonly parameterValue: string;
}

/** The socket of a connection; pg has no public way to it. */
export function streamOf(client: Pg.Client): Stream {
  return wireOf(client).stream;
}

/** What the server says of itself while the connection is made; filled from then on. */
export function parametersOf(client: Pg.Client): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  wireOf(client).on('parameterStatus', (said) => parameters.set(said.parameterName, said.parameterValue));
  return parameters;
}

function wireOf(client: Pg.Client): Wire {
  return (client as unknown as { connection: Wire }).connection;
}

/**
 * Hands what the driver throws to `unreadable` where a value is longer than any JavaScript string: it throws from an
 * event of the socket, where nobody could catch it, and the statement would never be answered.
 */
export function catchTooLong(client: Pg.Client, unreadable: () => void): void {
  const stream = streamOf(client);
  for (const read of stream.listeners('data')) {
    stream.on('data', (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        if ((error as { readonly code?: unknown }).code !== 'ERR_STRING_TOO_LONG') throw error;
        unreadable();
      }
    });
    stream.off('data', read);
  }
}
