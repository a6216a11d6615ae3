import type pg from 'pg';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchBrowser, openPage } from '../support/browser.ts';
import { type Place, kill, rowsDone, run, start, until } from '../support/cli.ts';
import { onServer, withDatabase } from '../support/database.ts';
import { bad, byConstraint, rowStyle } from '../support/bad-rows.ts';
import { serve } from '../support/served.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => await browser?.close());

const up = ['up', '--workers', '1', '--chunk-size', '100'];

/** Clicks a button, and confirms what it asks. Returns what the dialog said. */
async function act(page: Page, button: string, verb: string): Promise<string> {
  await page.getByRole('button', { name: button }).first().click();
  const dialog = page.getByRole('dialog');
  const text = await dialog.innerText();
  await dialog.getByRole('button', { name: verb, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  return text;
}

/** A number of the page, by what is written above it. */
function figure(page: Page, name: string): Locator {
  return page.locator('.figures div', { has: page.getByText(name, { exact: true }) }).locator('dd');
}

const digits = (text: string | null): number => Number((text ?? '').split(' of ')[0]?.replaceAll(',', ''));

async function stateOf(place: Place): Promise<{ readonly rows: { readonly done: number } }> {
  const { stdout } = await run(['status', 'a', '--json'], place);
  const { migrations } = JSON.parse(stdout) as { migrations: { rows: { done: number } }[] };
  return migrations[0] ?? Promise.reject(new Error(stdout));
}

async function events(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ event: string }>(
    'select event from umzug_cluster.history order by id',
  );
  return rows.map(({ event }) => event);
}

it('shows a run from its start to its end, pauses and resumes it, and never another number than the ledger', async () => {
  await withDatabase(async ({ url, client, name: database }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url };
    const { printed } = await serve(place, '--base-path', '/behind/a-proxy');
    const { page, complaints } = await openPage(browser, printed);
    await page.getByRole('link', { name: 'a', exact: true }).click();
    await page.getByText('Not executed yet.').waitFor();
    const first = start(up, place);
    await page.locator('h1 + .state', { hasText: 'running' }).waitFor();
    await until('rows are shown', async () => digits(await figure(page, 'Rows').textContent()) > 0);
    const before = digits(await figure(page, 'Rows').textContent());
    expect(before).toBeLessThanOrEqual(await rowsDone(client));
    const asked = await act(page, 'Pause…', 'Pause');
    expect(asked).toContain(database);
    expect(asked).toMatch(/Migration\s+a\s/);
    expect((await first.outcome).code).toBe(5);
    await page.locator('h1 + .state', { hasText: 'paused' }).waitFor();
    const { rows } = await stateOf(place);
    expect(digits(await figure(page, 'Rows').textContent())).toBe(rows.done);
    expect(rows.done).toBe(await rowsDone(client));
    await act(page, 'Resume…', 'Resume');
    hurry(place.cwd);
    const second = start(up, place);
    await page.locator('h1 + .state', { hasText: 'executed' }).waitFor();
    expect((await second.outcome).code).toBe(0);
    expect(await page.locator('.percent').textContent()).toBe('100%');
    expect(digits(await figure(page, 'Rows').textContent())).toBe(counterRows);
    const history = page.getByRole('region', { name: 'History' });
    for (const event of await events(client)) await history.getByText(event).first().waitFor();
    expect(await events(client)).toEqual(
      expect.arrayContaining(['started', 'paused', 'resumed', 'finished']),
    );
    await page.getByText(/^\d+ ranges?: \d+ done$/).waitFor();
    expect(complaints).toEqual([]);
  });
});

it('shows quarantined rows by their keys alone, and puts back one, then all', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    await client.query(byConstraint);
    await client.query(`alter table counters add column secret text not null default 'hidden-in-the-row'`);
    const place = { cwd: makeProject({ 'a.ts': rowStyle }).dir, url };
    expect((await run(up, place)).code).toBe(1);
    const { url: address, printed } = await serve(place);
    const { page, complaints } = await openPage(browser, printed);
    await page.getByRole('link', { name: 'a', exact: true }).click();
    expect(page.url()).toBe(`${address}#/runs/a`);
    const table = page.getByRole('region', { name: 'Quarantined rows' });
    await table.getByText('not_bad').first().waitFor();
    const keys = async (): Promise<readonly number[]> =>
      (await table.locator('tbody td:first-child').allTextContents()).map(Number);
    expect((await keys()).toSorted((one, other) => one - other)).toEqual(bad);
    const sent = await (await fetch(`${address}api/runs/a`)).text();
    expect(sent + (await page.content())).not.toContain('hidden-in-the-row');
    const asked = await act(page, 'Retry the row with key 7777', 'Retry');
    expect(asked).toMatch(/Key\s+7777/);
    await until('one row is left out', async () => (await keys()).length === bad.length - 1);
    expect(await keys()).not.toContain(7_777);
    await act(page, 'Retry all quarantined rows…', 'Retry');
    await table.waitFor({ state: 'detached' });
    await client.query('alter table counters drop constraint not_bad');
    expect((await run(up, place)).code).toBe(0);
    await page.locator('h1 + .state', { hasText: 'executed' }).waitFor();
    expect(digits(await figure(page, 'Rows').textContent())).toBe(counterRows);
    expect(complaints).toEqual([]);
  });
});

it('says that its server or the database is gone and how old its numbers are, and continues when they are back', async () => {
  await withDatabase(async ({ url, client, name: database }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    const { url: address, server } = await serve(place);
    const { page, complaints } = await openPage(browser, address);
    const live = page.locator('header').getByText('live');
    await live.waitFor();
    kill(server.pid);
    await page.getByText(/^The server is gone; reconnecting\. What is shown is \d+s old\.$/).waitFor();
    expect(await live.count()).toBe(0);
    expect((await run(up, place)).code).toBe(0);
    expect(await page.locator('.row .state').textContent()).toBe('pending');
    await serve(place, '--listen', new URL(address).host);
    await live.waitFor();
    await page.locator('.row .state', { hasText: 'executed' }).waitFor();
    await onServer(`alter database ${database} allow_connections false`);
    await onServer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`);
    await page.getByText(/^The database is unavailable: .* What is shown is \d+s old\.$/).waitFor();
    await onServer(`alter database ${database} allow_connections true`);
    await live.waitFor();
    expect(complaints).toEqual([]);
  });
});

it('asks for the token, refuses another, and offers nothing to whoever may only read', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration(0.3) }).dir, url };
    const work = start(up, place);
    await until('some rows are done', () => rowsDone(client));
    const token = 'a-token-of-the-test';
    const { url: address } = await serve({ ...place, env: { UMZUG_CLUSTER_TOKEN: token } }, '--read-only');
    const { page, complaints } = await openPage(browser, `${address}#/runs/a`);
    await page.getByLabel('Token').fill('another-token-of-the-test');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
    await page.getByText('read only').waitFor();
    await page.locator('h1 + .state', { hasText: 'running' }).waitFor();
    expect(await page.getByRole('group', { name: 'Actions' }).count()).toBe(0);
    hurry(place.cwd);
    await work.outcome;
    expect(complaints).toEqual([]);
  });
});

it('shows for which lock a schema migration waits, and who has it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const source = `export const up = (db) => db.raw('alter table counters add column seen int');`;
    const place = { cwd: makeProject({ 'add-column.ts': source }).dir, url };
    const { url: address } = await serve(place);
    const { page, complaints } = await openPage(browser, `${address}#/runs/add-column`);
    await client.query('begin; select from counters limit 1');
    const work = start(up, place);
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const behind = `AccessExclusiveLock on public.counters, behind transaction of pid ${rows[0]?.pid}`;
    await page.getByText(behind).waitFor();
    await client.query('commit');
    expect((await work.outcome).code).toBe(0);
    await page.locator('h1 + .state', { hasText: 'executed' }).waitFor();
    expect(complaints).toEqual([]);
  });
});
