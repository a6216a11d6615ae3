import { type Contestant, compare, quantile, runProgram } from '../compare.ts';
import { type Bench, onTable, productCli } from '../context.ts';
import { type Style, makeBenchProject, migrationSource } from '../project.ts';
import { table } from '../report.ts';
import { type BenchServer, startBenchServer } from '../server.ts';
import { createOriginal } from '../table.ts';

// The defaults of Postgres, 128 MB and 1 GB, for a table of 5,000,000 rows, and in proportion for others: the table is
// to be much larger than the one, and what is logged of it than the other.
const buffersEach = 128 / 5_000_000;
const walEach = 1_024 / 5_000_000;

const lanes = '2';

const orders = ['key', 'physical'] as const;
const styles = [
  ['sets', 'set'],
  ['rows', 'rows'],
] as const satisfies readonly (readonly [string, Style])[];

/** Random uuid keys in a table larger than memory: in the order of the keys, and in that of the blocks. */
export async function physicalSuite({ rounds, rows, shape: { width }, say }: Bench): Promise<string> {
  const count = Math.max(...rows);
  const settings = {
    shared_buffers: `${Math.max(8, Math.round(count * buffersEach))}MB`,
    max_wal_size: `${Math.max(64, Math.round(count * walEach))}MB`,
  };
  const server = await startBenchServer(settings);
  try {
    await createOriginal(server.client, { rows: count, key: 'uuid', width });
    const wal = new Map<string, number[]>();
    const contestants: Contestant[] = [];
    for (const [name, style] of styles) {
      for (const order of orders) {
        contestants.push(await contestant(server, `${name}, by ${order}`, { style, order }, wal));
      }
    }
    const timings = await compare(contestants, rounds, say);
    const logged = contestants.map(
      ({ name }) => [name, quantile(wal.get(name) ?? [], 0.5) / 2 ** 20] as const,
    );
    const against = styles.map(([name]) => `${name}, by key`);
    const lines = logged.map(([name, megabytes], index) => {
      const [, byKey = Number.NaN] = logged[index - (index % orders.length)] ?? [];
      return `| ${name} | ${megabytes.toFixed(0)} | ${(megabytes / byKey).toFixed(2)} |`;
    });
    return [
      `### ${count.toLocaleString('en')} ${width} rows, one process with two lanes, ${JSON.stringify(settings)}`,
      table(timings, against),
      ['| | WAL, MB | ÷ by key |', '| --- | --- | --- |', ...lines].join('\n'),
    ].join('\n\n');
  } finally {
    await server.remove();
  }
}

async function contestant(
  server: BenchServer,
  name: string,
  { style, order }: { readonly style: Style; readonly order: (typeof orders)[number] },
  wal: Map<string, number[]>,
): Promise<Contestant> {
  const options = `export const options = { order: '${order}', sweep: true };\n`;
  const cwd = await makeBenchProject({ 'change.ts': options + migrationSource(style) });
  return onTable(server, name, async () => {
    const before = await position(server);
    await runProgram(process.execPath, [productCli, 'up', '--workers', '1'], {
      cwd,
      env: { DATABASE_URL: server.url, CI: '1', UMZUG_CLUSTER_LANES: lanes },
    });
    wal.set(name, [...(wal.get(name) ?? []), (await position(server)) - before]);
  });
}

/** Bytes of WAL that the server has written so far. */
async function position({ client }: BenchServer): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bytes`,
  );
  return Number(rows[0]?.bytes);
}
