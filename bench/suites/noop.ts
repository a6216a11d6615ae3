import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Contestant, compare, runProgram } from '../compare.ts';
import { type Bench, productCli } from '../context.ts';
import { makeBenchProject } from '../project.ts';
import { table } from '../report.ts';
import { rivalsFolder } from '../rivals.ts';

const product = '(j) up';
const rivals: readonly (readonly [name: string, migration: string, args: (bin: string) => string[]])[] = [
  [
    'knex migrate:latest',
    `export const up = (knex: { raw(sql: string): Promise<unknown> }) => knex.raw('select 1');
     export const down = up;`,
    (bin) => ['--import', 'tsx', `${bin}/knex/bin/cli.js`, 'migrate:latest', '--knexfile', 'knexfile.ts'],
  ],
  [
    'umzug up',
    `export const up = (): Promise<void> => Promise.resolve();`,
    () => ['--import', 'tsx', 'umzug.ts', 'up'],
  ],
  [
    'node-pg-migrate up',
    `export const up = (pgm: { sql(sql: string): void }): void => pgm.sql('select 1');`,
    (bin) => [`${bin}/node-pg-migrate/bin/node-pg-migrate.js`, 'up'],
  ],
];

/** Nothing is pending, which is what most deploys find: whole processes, each with one executed TypeScript file. */
export async function noopSuite({ server, rounds, say }: Bench): Promise<string> {
  const folder = await rivalsFolder(say);
  await server.client.query('drop schema if exists umzug_cluster cascade');
  const own = await makeBenchProject({
    '2025.01.01T00.00.00.nothing.ts': `export const up = (db) => db.raw('select 1');`,
  });
  const contestants = [
    contestant(product, own, [productCli, 'up'], server.url),
    ...rivals.map(([name, migration, args]) => {
      const cwd = path.join(folder, 'projects', name.replaceAll(/\W/g, '-'));
      mkdirSync(path.join(cwd, 'migrations'), { recursive: true });
      for (const file of ['package.json', 'knexfile.ts', 'umzug.ts']) {
        cpSync(path.join(folder, file), path.join(cwd, file));
      }
      writeFileSync(path.join(cwd, 'migrations', '1735689600000_nothing.ts'), migration);
      return contestant(`(j) ${name}`, cwd, args(path.join(folder, 'node_modules')), server.url);
    }),
  ];
  // The first time each has something to do, and warms its caches.
  for (const { run } of contestants) await run();
  return table(await compare(contestants, rounds, say), [product]);
}

function contestant(name: string, cwd: string, args: readonly string[], url: string): Contestant {
  const nothing = (): Promise<void> => Promise.resolve();
  const run = async (): Promise<void> => {
    await runProgram(process.execPath, args, { cwd, env: { DATABASE_URL: url, CI: '1' } });
  };
  return { name, prepare: nothing, run, check: nothing };
}
