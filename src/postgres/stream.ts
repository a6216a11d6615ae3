import type * as Pg from 'pg';

/** What of a connection's socket is of interest here. */
export interface Stream {
  readonly bytesRead: number;
  readonly localPort?: number;
  readonly remotePort?: number;
  destroy(): void;
  on(event: 'data', listener: () => void): void;
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
