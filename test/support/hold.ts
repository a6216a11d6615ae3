import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { until } from './cli.ts';

/**
 * A migration that adds 1 to every counter, slowly until `hurry`. The chunk that `held` waits for runs `hold` in a
 * worker. Not twice in a row in a range: what kills two workers comes last.
 */
export const holdingMigration = (hold: string): string => `
  import cluster from 'node:cluster';
  import { existsSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
  const isArmed = () => { try { rmdirSync('armed'); return true; } catch { return false; } };
  export const select = (db) => db('counters').select('id');
  export const update = async (db, rows, { attempt }) => {
    await db('counters').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1') });
    if (cluster.isWorker && attempt === 1 && isArmed()) {
      writeFileSync('holding', JSON.stringify({ pid: process.pid, id: rows[0].id }));
      renameSync('holding', 'held');
      ${hold}
    }
    if (!existsSync('enough')) await db.raw('select pg_sleep(0.2)');
  };`;

/** The ways of holding a chunk: its worker waits, its statement runs, its event loop is blocked. */
export const holds = {
  idle: `await new Promise((resolve) => setTimeout(resolve, 600_000));`,
  statement: `await db.raw('select pg_sleep(600)');`,
  blocked: `for (;;);`,
} as const;

/** Waits until a worker holds its next chunk in the project folder `dir`. Returns who, and the chunk's first row. */
export async function held(dir: string): Promise<{ readonly pid: number; readonly id: string }> {
  const file = path.join(dir, 'held');
  mkdirSync(path.join(dir, 'armed'));
  await until('a worker holds a chunk', () => existsSync(file));
  const holder = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; id: string };
  rmSync(file);
  return holder;
}
