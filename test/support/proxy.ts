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
 * it. `cut-after`: the server gets it, the client no answer. `swallow`: from here on nothing passes on this
 * connection in either direction, and nobody is told. `swallow-answers`: the same, but the server goes on getting
 * what the client says.
 */
export type Fate = 'pass' | 'cut-before' | 'cut-after' | 'swallow' | 'swallow-answers';

/** The way that is blocked: what clients say, what the server says, or all. */
export type Hole = 'to-server' | 'to-client' | 'both';

/** A TCP proxy before a Postgres server that reads what clients say. */
export interface Proxy {
  /** The server's connection string, through the proxy. */
  url(original: string): string;
  /** Messages of clients so far. */
  readonly messages: number;
  /** From now on nothing passes this way, on old connections and on new ones. They stay open. */
  block(hole: Hole): void;
  /** Connections made from now on pass; those made before stay blocked for ever. */
  passNew(): void;
  /** All passes again, first what was held back. */
  passAll(): void;
  close(): Promise<void>;
}

/** Starts a proxy before the server of `upstream`, a connection string; `fate` is asked about every message. */
export async function startProxy(upstream: string, fate: (message: ClientMessage) => Fate): Promise<Proxy> {
  const { hostname, port } = new URL(upstream);
  const sockets = new Set<Socket>();
  const pipes = new Set<Pipe>();
  let hole: Hole | null = null;
  let messages = 0;
  // Half open: the end of one side is passed on by the pipes, or held back.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const database = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    const splitter = new Splitter();
    const answers = new Pipe('to-client', database, client, (data) => client.write(data));
    const requests = new Pipe('to-server', client, database, (data) => {
      for (const [type, body] of splitter.split(data)) {
        messages += 1;
        const what = fate({ no: messages, type, body });
        if (what === 'swallow' || what === 'swallow-answers') answers.hold();
        if (what === 'swallow') requests.hold();
        if (requests.isHeld || what === 'cut-before') requests.drop();
        else database.write(body);
        if (what !== 'cut-before' && what !== 'cut-after') continue;
        answers.drop();
        // the server is to have read it before it hears that the client has gone
        if (what === 'cut-after') database.end();
        else database.destroy();
        client.destroy();
        return;
      }
    });
    for (const pipe of [requests, answers]) {
      pipes.add(pipe);
      if (pipe.isBlockedBy(hole)) pipe.hold();
    }
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
    block: (wanted) => {
      hole = wanted;
      for (const pipe of pipes) if (pipe.isBlockedBy(hole)) pipe.hold();
    },
    passNew: () => {
      hole = null;
    },
    passAll: () => {
      hole = null;
      for (const pipe of pipes) pipe.release();
    },
    close: () => closeAll(server, sockets),
  };
}

/** One way of a connection. While it is held nothing passes, its end included; both sides stay open. */
class Pipe {
  isHeld = false;
  readonly #way: Exclude<Hole, 'both'>;
  readonly #from: Socket;
  readonly #to: Socket;
  #end: 'none' | 'end' | 'reset' = 'none';
  #isDropped = false;

  constructor(way: Exclude<Hole, 'both'>, from: Socket, to: Socket, pass: (data: Buffer) => void) {
    this.#way = way;
    this.#from = from;
    this.#to = to;
    from.on('data', (data: Buffer) => {
      if (!this.#isDropped) pass(data);
    });
    from.on('end', () => this.#ended('end'));
    from.on('close', (isReset) => this.#ended(isReset ? 'reset' : 'end'));
  }

  isBlockedBy(hole: Hole | null): boolean {
    return hole === 'both' || hole === this.#way;
  }

  hold(): void {
    this.isHeld = true;
    // what is not read fills the buffers of the other side in the end
    this.#from.pause();
  }

  release(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.#from.resume();
    if (this.#end !== 'none') this.#ended(this.#end);
  }

  /** Nothing passes any more, whatever comes. */
  drop(): void {
    this.#isDropped = true;
  }

  #ended(how: 'end' | 'reset'): void {
    if (this.#end !== 'reset') this.#end = how;
    if (this.isHeld || this.#isDropped) return;
    if (how === 'reset') this.#to.destroy();
    else this.#to.end();
  }
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
