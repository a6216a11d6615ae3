import path from 'node:path';
import { type Contestant, runProgram } from './compare.ts';
import { type Style, makeBenchProject, migrationSource } from './project.ts';
import type { BenchServer } from './server.ts';
import { type Shape, requireChanged, resetTable } from './table.ts';

/** What every suite gets. */
export interface Bench {
  readonly server: BenchServer;
  readonly rounds: number;
  /** Rows of the tables to try. */
  readonly rows: readonly number[];
  /** Key and width of the tables. */
  readonly shape: Omit<Shape, 'rows'>;
  /** How long a soak runs. */
  readonly minutes: number;
  /** Progress, on stderr. */
  readonly say: (line: string) => void;
}

export const productCli = path.join(import.meta.dirname, '..', 'dist', 'cli.js');

/** A contestant that works on a fresh copy of the table and has to change every row of it. */
export function onTable(server: BenchServer, name: string, run: () => Promise<void>): Contestant {
  return {
    name,
    prepare: () => resetTable(server.client),
    run,
    check: () => requireChanged(server.client, name),
  };
}

/** `up` on a project with one migration, as a whole process. */
export async function upContestant(
  server: BenchServer,
  name: string,
  how: {
    readonly style: Style;
    readonly cli?: string;
    readonly flags?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<Contestant> {
  const cwd = await makeBenchProject({ 'change.ts': migrationSource(how.style) });
  const args = [how.cli ?? productCli, 'up', ...(how.flags ?? [])];
  return onTable(server, name, async () => {
    await runProgram(process.execPath, args, { cwd, env: { DATABASE_URL: server.url, CI: '1', ...how.env } });
  });
}
