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

/** The socket of a connection; pg has no public way to it. */
export function streamOf(client: Pg.Client): Stream {
  return (client as unknown as { connection: { stream: Stream } }).connection.stream;
}
