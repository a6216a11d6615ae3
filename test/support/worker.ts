import { type Place, type Running, start, until } from './cli.ts';
import { printedUrl } from './served.ts';

/** What a worker's health endpoint says. */
export interface Health {
  readonly state: string;
  readonly migration: string | null;
  readonly message: string | null;
  readonly hint: string | null;
}

/** A host that joins what others run, in a process of its own, until the test ends. */
export interface Worker extends Running {
  /** Status codes of both endpoints, and what they say. */
  health(): Promise<{ readonly live: number; readonly ready: number; readonly body: Health }>;
  metrics(): Promise<string>;
  /** Resolves when it is in this state. */
  is(state: string): Promise<Health>;
}

/** Starts a worker at a port that is free; `address`: of the host on which it is to be reached. */
export async function startWorker(
  { address = '127.0.0.1', ...place }: Place & { readonly address?: string },
  ...args: readonly string[]
): Promise<Worker> {
  const running = start(['worker', '--listen', `${address}:0`, ...args], place);
  const url = await printedUrl(running);
  const health = async (): ReturnType<Worker['health']> => {
    const [live, ready] = await Promise.all([fetch(`${url}/healthz`), fetch(`${url}/readyz`)]);
    await live.arrayBuffer();
    return { live: live.status, ready: ready.status, body: (await ready.json()) as Health };
  };
  return {
    ...running,
    health,
    metrics: async () => await (await fetch(`${url}/metrics`)).text(),
    is: (state) =>
      until(`the worker is ${state}`, async () => {
        const { body } = await health();
        return body.state === state ? body : null;
      }),
  };
}
