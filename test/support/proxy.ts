import { type Server, type Socket, connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A message of a client, as the proxy sees it. `no` counts from 1 over all connections. */
export interface ClientMessage {
  readonly no: number;
  /** Its type byte, such as `Q` or `P`; empty for the startup message. */
  readonly type: string;
  readonly body: Buffer;
}

/**
 * What becomes of a message. `pass`: it goes on. `cut-before`: the connection is cut, the server never sees
 * it. `cut-after`: the server gets it, the client no answer. `swallow`: from here on nothing passes in either
 * direction, and nobody is told.
 */
export type Fate = 'pass' | 'cut-before' | 'cut-after' | 'swallow';

/** A TCP proxy before a Postgres server that reads what clients say. */
export interface Proxy {
  /** The server's connection string, through the proxy. */
  url(original: string): string;
  /** Messages of clients so far. */
  readonly messages: number;
  close(): Promise<void>;
}

/** Starts a proxy before the server of `upstream`, a connection string; `fate` is asked about every message. */
export async function startProxy(upstream: string, fate: (message: ClientMessage) => Fate): Promise<Proxy> {
  const { hostname, port } = new URL(upstream);
  const sockets = new Set<Socket>();
  let messages = 0;
  const server = createServer((client) => {
    const database = connect(Number(port), hostname);
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    const splitter = new Splitter();
    let isDead = false;
    client.on('data', (data: Buffer) => {
      if (isDead) return;
      for (const [type, body] of splitter.split(data)) {
        messages += 1;
        const what = fate({ no: messages, type, body });
        if (what !== 'cut-before' && what !== 'swallow') database.write(body);
        if (what === 'pass') continue;
        isDead = true;
        if (what === 'swallow') return;
        // the server is to have read it before it hears that the client has gone
        if (what === 'cut-after') database.end();
        else database.destroy();
        client.destroy();
        return;
      }
    });
    database.on('data', (data: Buffer) => {
      if (!isDead) client.write(data);
    });
    client.on('close', () => {
      if (!isDead) database.destroy();
    });
    database.on('close', () => {
      if (!isDead) client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  return {
    url: (original) => {
      const through = new URL(original);
      through.hostname = '127.0.0.1';
      through.port = String(own);
      return through.href;
    },
    get messages() {
      return messages;
    },
    close: () => closeAll(server, sockets),
  };
}

async function closeAll(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

/** Cuts the bytes of one client into messages: the startup message has no type byte. */
class Splitter {
  #rest: Buffer = Buffer.alloc(0);
  #isStarted = false;

  *split(data: Buffer): Generator<readonly [type: string, body: Buffer]> {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (;;) {
      const head = this.#isStarted ? 1 : 0;
      if (this.#rest.length < head + 4) return;
      const length = head + this.#rest.readInt32BE(head);
      if (this.#rest.length < length) return;
      const body = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      const type = head === 0 ? '' : String.fromCharCode(body[0] ?? 0);
      this.#isStarted = true;
      yield [type, body];
    }
  }
}
