import { type AddressInfo, createServer } from 'node:net';

/** How a server that is not there for a test behaves; see `fakeServer`. */
export interface FakeServer {
  readonly url: string;
  close(): void;
}

/** What it does with a connection. */
export type Behaviour =
  /** Speaks the protocol, with these parameters, and answers each statement with this error. */
  | {
      readonly parameters: Readonly<Record<string, string>>;
      readonly error?: readonly [sqlstate: string, message: string];
    }
  /** Says this at once, and ends the connection. */
  | { readonly says: string }
  /** Takes connections and says nothing. */
  | 'silent';

/** A server for what no real one can be had: another product, an old release, a standby. */
export async function fakeServer(behaviour: Behaviour): Promise<FakeServer> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (behaviour === 'silent') return;
    if ('says' in behaviour) return void socket.end(behaviour.says);
    let isOpen = false;
    socket.on('data', (data) => {
      if (!isOpen && data.readInt32BE(4) === sslRequest) return void socket.write('N');
      if (!isOpen) {
        isOpen = true;
        return void socket.write(
          Buffer.concat([message('R', int32(0)), ...statuses(behaviour.parameters), ready]),
        );
      }
      const [code = '25006', text = 'no'] = behaviour.error ?? [];
      const fields = `SERROR\0VERROR\0C${code}\0M${text}\0\0`;
      if (data[0] !== 'X'.charCodeAt(0))
        socket.write(Buffer.concat([message('E', Buffer.from(fields)), ready]));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `postgres://someone:hunter2@127.0.0.1:${port}/shop`, close: () => void server.close() };
}

const sslRequest = 80_877_103;
const ready = message('Z', Buffer.from('I'));

function statuses(parameters: Readonly<Record<string, string>>): Buffer[] {
  return Object.entries(parameters).map(([name, value]) => message('S', Buffer.from(`${name}\0${value}\0`)));
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
