import { once } from 'node:events';
import { type IncomingHttpHeaders, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Notification } from '../../src/notify/notification.ts';

/** A request as a receiver of notifications got it. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A web server on loopback that notifications are sent to. */
export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** The bodies so far, as JSON; of one path where one is given. */
  notifications(path?: string): readonly Notification[];
  /** Settles once so many requests have come. */
  has(count: number): Promise<void>;
}

/** Starts a receiver; `answer` decides what becomes of request number `index`, which no answer leaves hanging. */
export async function startReceiver(
  answer: (response: ServerResponse, index: number) => void = (response) => void response.end(),
): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part) => (body += part));
    request.on('end', () => {
      received.push({ path: request.url ?? '', headers: request.headers, body });
      server.emit('received');
      answer(response, received.length - 1);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    notifications: (path) =>
      received
        .filter((one) => path === undefined || one.path === path)
        .map(({ body }) => JSON.parse(body) as Notification),
    has: async (count) => {
      while (received.length < count) await once(server, 'received');
    },
  };
}
