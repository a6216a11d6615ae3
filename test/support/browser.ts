import { existsSync, mkdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import chromium from '@sparticuz/chromium';
import { type Browser, type BrowserContextOptions, type Page, chromium as driver } from 'playwright-core';

const packaged = '/usr/bin/chromium';

/**
 * Where the browser of the package is, which is unpacked by whoever asks first: one process at a time, or another would
 * start what is half there.
 */
async function unpacked(): Promise<string> {
  const lock = path.join(os.tmpdir(), 'chromium.unpacking');
  const giveUp = Date.now() + 60_000;
  for (let isMine = false; !isMine && Date.now() < giveUp;) {
    try {
      mkdirSync(lock);
      isMine = true;
    } catch {
      await sleep(100);
    }
  }
  try {
    return await chromium.executablePath();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/**
 * The browser of the tests: the one that the package @sparticuz/chromium brings, or where that does not start, Debian's.
 * Rejects with what to install where there is neither.
 */
export async function launchBrowser(): Promise<Browser> {
  const reasons: string[] = [];
  for (const find of [unpacked, () => packaged]) {
    try {
      const executablePath = await find();
      if (!existsSync(executablePath)) throw new Error(`${executablePath} is missing`);
      // Containers have no user namespaces, and tests run as root there.
      return await driver.launch({ executablePath, args: ['--no-sandbox'], headless: true });
    } catch (error) {
      reasons.push(String(error).split('\n').slice(0, 3).join(' '));
    }
  }
  throw new Error(
    `no browser starts here, which the tests of the page need; install Debian's: apt-get install chromium\n${reasons.join('\n')}`,
  );
}

/** A page with whatever it complained of: what a Content-Security-Policy forbids, and errors that nobody caught. */
export interface WatchedPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

/** Opens a page of its own context. A refused request is no complaint: tests refuse some. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    locale: 'en-US',
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) complaints.push(text);
  });
  await page.goto(url);
  return { page, complaints };
}

/** How long frames took while `work` went on, in milliseconds, ascending. */
export async function framesOf(page: Page, work: () => Promise<void>): Promise<readonly number[]> {
  await page.evaluate(`globalThis.frames_ = []; globalThis.isCounting_ = true;
    let last = performance.now();
    requestAnimationFrame(function next(now) {
      frames_.push(now - last);
      last = now;
      if (isCounting_) requestAnimationFrame(next);
    });`);
  await work();
  const frames = await page.evaluate<number[]>('globalThis.isCounting_ = false; frames_');
  return frames.toSorted((one, other) => one - other);
}

/** How many elements a document has. */
export async function elementsOf(page: Page): Promise<number> {
  return await page.evaluate<number>('document.querySelectorAll("*").length');
}
