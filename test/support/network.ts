import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import pg from 'pg';
import { type TestServer, startTestServer } from './server.ts';

/**
 * Hosts as network namespaces of Linux, each with an address and a host name of its own, on a switch (a bridge) that
 * the database server is plugged into, too. What is done to a cable is done by the kernel: packets are lost, and
 * nobody is told.
 */
export interface Network {
  /** Connection string of the server's database, as hosts reach it. */
  readonly url: string;
  /** A client on the server itself. */
  readonly client: pg.Client;
  plugIn(name: string): Host;
}

/** A host on the network. */
export interface Host {
  readonly address: string;
  /** The command by which others are run on it. */
  readonly within: readonly string[];
  /** Pulls the cable. */
  cut(): void;
  /** From now on packets are late, and some are lost; how, by what this kernel can do. */
  worsen(): void;
}

/** Why there can be no such network here; null: there can. */
export function noNetwork(): string | null {
  const name = `umzug-probe-${process.pid}`;
  const probe = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (probe.status !== 0) {
    return `NOT RUN: network namespaces cannot be made here (${probe.error?.message ?? probe.stderr.trim()}): it takes root and iproute2`;
  }
  ip('netns', 'del', name);
  return null;
}

/** Makes a network with a server on it, until the test ends. */
export async function makeNetwork(): Promise<Network> {
  // A device's name has at most 15 letters; others may test on this machine as well.
  const id = `uc${randomInt(0x1000, 0xffff).toString(16)}`;
  const subnet = `10.${randomInt(64, 128)}.${randomInt(0, 256)}`;
  const bridge = `${id}br`;
  ip('link', 'add', bridge, 'type', 'bridge');
  onTestFinished(() => ip('link', 'del', bridge));
  ip('addr', 'add', `${subnet}.1/24`, 'dev', bridge);
  ip('link', 'set', bridge, 'up');
  const server = await startTestServer({ settings: { listen_addresses: `127.0.0.1,${subnet}.1` } });
  onTestFinished(() => server.remove());
  const client = await admit(server, `${subnet}.0/24`);
  onTestFinished(() => client.end());
  const url = new URL(server.url);
  url.hostname = `${subnet}.1`;
  let hosts = 0;
  return {
    url: url.href,
    client,
    plugIn: (name) => plugIn({ id, bridge, subnet, no: (hosts += 1), name }),
  };
}

/** Lets hosts of the network connect to the server. */
async function admit({ url }: TestServer, network: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ file: string }>(`select current_setting('hba_file') as file`);
  appendFileSync(path.resolve(rows[0]?.file ?? ''), `\nhost all all ${network} scram-sha-256\n`);
  await client.query('select pg_reload_conf()');
  return client;
}

interface Plug {
  readonly id: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly no: number;
  readonly name: string;
}

function plugIn({ id, bridge, subnet, no, name }: Plug): Host {
  const space = `${id}h${no}`;
  const [cable, inside] = [`${id}c${no}`, `${id}i${no}`];
  ip('netns', 'add', space);
  onTestFinished(() => ip('netns', 'del', space));
  ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', inside, 'netns', space);
  ip('link', 'set', cable, 'master', bridge, 'up');
  const within = (...args: readonly string[]): void => ip('-n', space, ...args);
  const address = `${subnet}.${10 + no}`;
  within('addr', 'add', `${address}/24`, 'dev', inside);
  within('link', 'set', inside, 'up');
  within('link', 'set', 'lo', 'up');
  const cut = (): void => ip('link', 'set', cable, 'down');
  return {
    address,
    // Each program replaces the one before it: signals reach the last.
    within: `ip netns exec ${space} unshare --uts sh -c`.split(' ').concat('hostname "$0"; exec "$@"', name),
    cut,
    worsen: () => {
      const both = (...rules: readonly string[]): boolean =>
        tc('qdisc', 'replace', 'dev', cable, 'root', ...rules) &&
        tc('-n', space, 'qdisc', 'replace', 'dev', inside, 'root', ...rules);
      if (both('netem', 'delay', '10ms', '5ms', 'loss', '2%')) return;
      // 1.5 kB take 30 ms, and what does not fit into the queue is lost
      if (both('tbf', 'rate', '400kbit', 'burst', '1600', 'latency', '120ms')) return;
      throw new Error('no network can be made bad with this kernel: it has neither netem nor tbf');
    },
  };
}

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

function tc(...args: readonly string[]): boolean {
  return spawnSync('tc', args).status === 0;
}
