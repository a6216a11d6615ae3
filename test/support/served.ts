import { once } from 'node:events';
import { type Place, type Running, start } from './cli.ts';

/** A server of the page in a process of its own, until the test ends. */
export interface Served {
  readonly url: string;
  /** The URL as it was printed: with the token that lets its page change things. */
  readonly printed: string;
  readonly server: Running;
}

/** Starts it at a port that is free, unless the arguments name one. Rejects with what it said where it does not start. */
export async function serve(place: Place, ...args: readonly string[]): Promise<Served> {
  const listen = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const server = start(['ui', ...listen, ...args], place);
  const printed = await printedUrl(server);
  return { url: printed.replace(/#.*/, ''), printed, server };
}

/** The URL that a command prints first. Rejects with what it said where it ends before. */
export async function printedUrl({ child, outcome }: Running): Promise<string> {
  const ended = outcome.then(({ stderr }) => Promise.reject(new Error(stderr)));
  const [first] = (await Promise.race([once(child.stdout ?? child, 'data'), ended])) as [Buffer];
  return String(first).trim();
}
