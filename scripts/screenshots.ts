import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import type { Browser, Page } from 'playwright-core';
import { embeddedUrl, removeEmbedded, startEmbedded } from '../src/postgres/embedded/index.ts';
import { launchBrowser } from '../test/support/browser.ts';

/**
 * Makes docs/ui-light.png and docs/ui-dark.png: runs a backfill with a few bad rows on a server of its own, with the
 * built command line, and photographs the page in the middle of it.
 */

const root = path.join(import.meta.dirname, '..');
const rows = 400_000;
const size = { width: 1280, height: 1180 };

const table = `
  create table orders (id bigint primary key, amount_cents int, price text not null);
  insert into orders (id, price) select i, case when i % 90001 = 77 then 'free' else (i % 9900 / 100.0)::text end
    from generate_series(1, ${rows}) as i;
  analyze orders;`;

const migration = `
  import { setTimeout as sleep } from 'node:timers/promises';
  export const select = (db) => db('orders').select('id', 'price');
  export const update = async (db, rows) => {
    await sleep(120 + 80 * Math.sin(Date.now() / 4000));
    const values = rows.map(({ id, price }) => {
      if (!/^[0-9.]+$/.test(price)) throw new Error('the price is no number');
      return [id, Math.round(Number(price) * 100)];
    });
    await db.raw(
      'update orders set amount_cents = v.cents from unnest(?::bigint[], ?::int[]) as v (id, cents) where orders.id = v.id',
      [values.map(([id]) => id), values.map(([, cents]) => cents)],
    );
  };`;

const folder = mkdtempSync(path.join(os.tmpdir(), 'umzug-cluster-screenshots-'));
const processes: ChildProcess[] = [];
let browser: Browser | null = null;
try {
  const url = await prepare();
  processes.push(cli(url, 'up', '--workers', '2'));
  const ui = cli(url, 'ui', '--listen', '127.0.0.1:0');
  processes.push(ui);
  const [address] = (await once(ui.stdout ?? ui, 'data')) as [Buffer];
  browser = await launchBrowser();
  const page = await browser.newPage({ locale: 'en-US', viewport: size });
  await page.goto(`${String(address).trim().replace(/#.*/, '')}#/runs/2026.11.02T09.00.00.price-to-cents`);
  await photograph(page);
} finally {
  await browser?.close();
  for (const one of processes) {
    const gone = once(one, 'close');
    if (one.exitCode === null && one.kill('SIGTERM')) await gone;
  }
  await removeEmbedded(folder);
  rmSync(folder, { recursive: true, force: true });
}

/** A server with a table, and a project that fills a column of it. Returns the database's URL. */
async function prepare(): Promise<string> {
  const url = embeddedUrl(await startEmbedded(folder));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(table);
  await client.end();
  const migrations = path.join(folder, 'migrations');
  mkdirSync(migrations);
  writeFileSync(path.join(migrations, '2026.11.02T09.00.00.price-to-cents.ts'), migration);
  return url;
}

function cli(url: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [path.join(root, 'dist/cli.js'), ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'], DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** In both themes, when there is something to see: about half is done, and rows are quarantined. */
async function photograph(page: Page): Promise<void> {
  await page.getByText(/^[4-9]\d%$/).waitFor({ timeout: 300_000 });
  await page.getByRole('region', { name: 'Quarantined rows' }).waitFor();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    // Plots are drawn again with the colors of the theme.
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: path.join(root, 'docs', `ui-${colorScheme}.png`) });
    console.log(`docs/ui-${colorScheme}.png`);
  }
}
