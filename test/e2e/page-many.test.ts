import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { elementsOf, framesOf, launchBrowser, openPage } from '../support/browser.ts';
import { run } from '../support/cli.ts';
import { type TestDatabase, createDatabase } from '../support/database.ts';
import { createCounters, makeProject, rowsMigration } from '../support/project.ts';
import { serve } from '../support/served.ts';

const evil = (what: string): string => `<img src=x onerror="document.title='${what}'"><b>${what}</b>`;
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Beside a run that was real: 1,000 migrations, and 10,000 ranges, names, hosts and errors as nobody would wish. */
const many = `
  insert into umzug_cluster.migrations (name, kind, file_sha256)
    select to_char(i, 'FM0000') || '.of-many', 'schema', 'x' from generate_series(1, 999) as i;
  delete from umzug_cluster.migrations where name = 'slow';
  update umzug_cluster.runs set state = 'running', finished_at = null, error = null where name = 'slow';
  insert into umzug_cluster.runs (id, name, direction, state, start_xid, plan, file_sha256, plan_sha256, error)
    select id + 1, ${quoted(evil('name'))}, 'up', 'failed', start_xid, plan, file_sha256, plan_sha256,
           ${quoted(evil('run'))} from umzug_cluster.runs where name = 'slow';
  insert into umzug_cluster.ranges (run_id, no, hi, cursor, state, at, passed, estimated, worker, touched_at, last_error)
    select id, 10000 + i, array[i::text], array[i::text], (array['done', 'done', 'open', 'open', 'quarantined'])[1 + i % 5],
           20000 + i * 100 + 50, 50, 50, ${quoted(`${evil('host')}:7/t:1`)}, 'infinity', ${quoted(evil('range'))}
    from umzug_cluster.runs, generate_series(1, 10000) as i where name = 'slow';
  insert into umzug_cluster.steals select run_id, no from umzug_cluster.ranges where no % 7 = 3;
  insert into umzug_cluster.quarantine (run_id, key, range_no, error, attempts)
    select id, array[${quoted(evil('key'))}, i::text], 10004, ${quoted(evil('row'))}, 3
    from umzug_cluster.runs, generate_series(1, 5) as i where name = 'slow';
  insert into umzug_cluster.hosts (run_id, process, workers, chunk_size, waiting)
    select id, ${quoted(`${evil('host')}:7/t`)}, 2, 10, ${quoted(evil('wait'))} from umzug_cluster.runs where name = 'slow';
  insert into umzug_cluster.points (run_id, process, at, rows, rows_per_second, chunk_ms, chunk_size, lanes)
    select id, 'h:7/t', clock_timestamp() - (2000 - i) * interval '1 s', i * 10, 10 + i % 7, 5, 10, 1 + i % 3
    from umzug_cluster.runs, generate_series(1, 1999) as i where name = 'slow';`;

let browser: Browser;
let database: TestDatabase;

beforeAll(async () => {
  browser = await launchBrowser();
  database = await createDatabase();
});
afterAll(async () => {
  await browser?.close();
  await database?.drop();
});

let isFilled = false;

/** A server that shows many of everything, until the test ends. */
async function serveMany(): Promise<string> {
  const { url, client } = database;
  const place = { cwd: makeProject({ 'slow.ts': rowsMigration() }).dir, url };
  if (!isFilled) {
    await client.query(createCounters);
    expect((await run(['up', '--workers', '1'], place)).code).toBe(0);
    await client.query(many);
  }
  isFilled = true;
  return (await serve(place)).url;
}

const hasNoWideScroll = async (page: Page): Promise<void> =>
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);

/** What axe finds in either theme, by rule and element. */
async function found(page: Page, within = 'body'): Promise<readonly string[]> {
  const all: string[] = [];
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).include(within).analyze();
    all.push(
      ...violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${colorScheme} ${id}: ${html}`)),
    );
  }
  return all;
}

const told = (what: string, frames: readonly number[]): void => {
  const at = (share: number): string => (frames[Math.floor((frames.length - 1) * share)] ?? 0).toFixed(0);
  console.log(
    `${what}: ${frames.length} frames, ${at(0.5)} ms in the median, ${at(0.95)} at 95%, ${at(1)} at most`,
  );
};

it('shows 1,000 migrations and 10,000 ranges with few elements, whatever their names are', async () => {
  const url = await serveMany();
  const { page, complaints } = await openPage(browser, url);
  await page.getByRole('button', { name: 'all 1,001' }).waitFor();
  expect(await elementsOf(page)).toBeLessThan(1_000);
  const scrolled = await framesOf(page, async () => {
    for (let at = 0; at <= 1; at += 0.02) {
      await page.evaluate(`scrollTo(0, ${at} * document.body.scrollHeight)`);
      await page.evaluate('new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))');
    }
  });
  told('scrolled through 1,000 migrations', scrolled);
  await page.getByText('0999.of-many').waitFor();
  await page.getByLabel('Filter by name').fill('<img');
  await page.getByRole('link', { name: '<img' }).click();
  await page.getByText(evil('run')).waitFor();
  await page.getByRole('link', { name: 'All migrations' }).click();
  await page.getByLabel('Filter by name').fill('slow');
  await page.getByRole('link', { name: 'slow', exact: true }).click();
  await page.getByText(/^10,0\d\d ranges: /).waitFor();
  for (const what of ['key', 'row', 'host', 'wait']) await page.getByText(evil(what)).first().waitFor();
  const map = page.getByRole('slider', { name: 'Ranges of the key space' });
  const moved = await framesOf(page, async () => {
    for (let at = 1; at <= 20; at++) await map.hover({ position: { x: at * 50, y: at * 20 } });
  });
  told('pointed at 20 of 10,000 ranges', moved);
  await map.press('End');
  await page
    .getByText(/^Range 10,0\d\d of 10,0\d\d: /)
    .first()
    .waitFor();
  await page.getByText('The ranges in words').click();
  await page.getByText(/^1 to 100 of 10,0/).waitFor();
  expect(await elementsOf(page)).toBeLessThan(1_500);
  expect(await page.title()).toMatch(/^(?:\d+% )?slow · /);
  expect(complaints).toEqual([]);
});

it('is for everybody: axe finds nothing, in light and dark', async () => {
  const { page } = await openPage(browser, await serveMany());
  await page.locator('.rows .row').first().waitFor();
  expect(await found(page)).toEqual([]);
  await page.getByLabel('Filter by name').fill('slow');
  await page.getByRole('link', { name: 'slow', exact: true }).click();
  await page.getByRole('slider', { name: 'Time in the plots' }).waitFor();
  expect(await found(page)).toEqual([]);
  await page.getByRole('button', { name: 'Change settings…' }).click();
  expect(await found(page, 'dialog')).toEqual([]);
});

it('needs no width beyond 360 pixels, and no pointer', async () => {
  const { page, complaints } = await openPage(browser, await serveMany(), {
    viewport: { width: 360, height: 740 },
  });
  await page.locator('.rows .row').first().waitFor();
  await hasNoWideScroll(page);
  await page.getByLabel('Filter by name').focus();
  await page.keyboard.type('slow');
  for (let tabs = 0; (await page.evaluate('document.activeElement.tagName')) !== 'A'; tabs++) {
    expect(tabs).toBeLessThan(15);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await page.locator('h1 + .state').waitFor();
  await hasNoWideScroll(page);
  await page.getByRole('button', { name: 'Pause…' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await hasNoWideScroll(page);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Pause…');
  await page.getByRole('slider', { name: 'Time in the plots' }).focus();
  await page.keyboard.press('Home');
  expect(await page.getByRole('slider', { name: 'Time in the plots' }).getAttribute('aria-valuenow')).toBe(
    '1',
  );
  expect(complaints).toEqual([]);
});

it('loads less than 150 kB, and nothing from elsewhere', async () => {
  const url = await serveMany();
  const { page } = await openPage(browser, 'about:blank');
  const loaded: string[] = [];
  let bytes = 0;
  page.on('response', (response) => {
    loaded.push(response.url());
    if (!response.url().includes('/api/')) bytes += Number(response.headers()['content-length'] ?? 0);
  });
  await page.setExtraHTTPHeaders({ 'accept-encoding': 'identity' });
  await page.goto(url);
  await page.locator('.rows .row').first().waitFor();
  const ms = await page.evaluate<number>('performance.getEntriesByType("navigation")[0].loadEventEnd');
  console.log(`the page: ${loaded.length} requests, ${bytes} bytes, loaded after ${ms.toFixed(0)} ms`);
  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThan(150_000);
  expect(loaded.filter((url) => !url.startsWith(url))).toEqual([]);
});

it('lists several targets, and shows the one that is chosen', async () => {
  const { dir: cwd } = makeProject({ '1-n.ts': rowsMigration() });
  const { url } = database;
  writeFileSync(
    path.join(cwd, 'knexfile.cjs'),
    `module.exports = { client: 'pg', connection: ${JSON.stringify(url)},
      migrations: { cluster: { targets: { schemas: 'shop\\\\_%' } } } };`,
  );
  const table = 'counters (id bigint primary key, n int not null default 0)';
  await database.client
    .query(`create schema shop_a create table ${table}; create schema shop_b create table ${table};
    insert into shop_a.counters values (1), (2)`);
  const place = { cwd, url: null };
  expect((await run(['up', '--targets', 'shop_a'], place)).code).toBe(0);
  const { page, complaints } = await openPage(browser, (await serve(place)).printed);
  await page.getByRole('heading', { name: 'Targets' }).waitFor();
  expect(await page.getByRole('listitem').allInnerTexts()).toEqual([
    expect.stringMatching(/^shop_a\n[^]*\bexecuted 1$/),
    expect.stringMatching(/^shop_b\n[^]*\bpending 1$/),
  ]);
  await page.getByLabel('Filter by name').fill('shop_a');
  expect(await page.getByRole('listitem').count()).toBe(1);
  expect(await found(page)).toEqual([]);
  await page.getByRole('link', { name: 'shop_a' }).click();
  await page.getByText(/, schema shop_a$/).waitFor();
  await page.getByRole('link', { name: '1-n' }).click();
  await page.getByText('executed', { exact: true }).first().waitFor();
  expect(new URL(page.url()).hash).toBe('#/targets/shop_a/runs/1-n');
  await page.getByRole('link', { name: 'All migrations' }).click();
  await page.getByRole('button', { name: 'all 1' }).waitFor();
  await page.getByRole('link', { name: 'All targets' }).click();
  await page.getByRole('link', { name: 'shop_b' }).waitFor();
  expect(complaints).toEqual([]);
});
