import { setTimeout as sleep } from 'node:timers/promises';
import { type Drawing, nothingDrawn, redraw } from '../../core/progress/redraw.ts';
import { stripControls } from '../../core/errors/redact.ts';
import { pasteable } from '../../core/values/invocation.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printLine } from '../frame/output.ts';
import { withContext } from '../frame/context.ts';
import { statusLine, statusLines } from './status-table.ts';

type Report = Awaited<ReturnType<Migrator['status']>>;

const everyMs = 1_000;

/**
 * Shows the status again and again until Ctrl-C, which ends it as it ends `watch`: with exit code 0. A terminal is
 * drawn over; elsewhere there is a line for every change, or with `--json` one document a line.
 */
export async function watchStatus(flags: Arguments, io: Io, name: string | undefined): Promise<void> {
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  process.once('SIGINT', stop);
  try {
    await withContext(flags, io, async ({ migrator, config }) => {
      const show = config.output.json ? jsonLines(io) : io.stdout.isTTY ? drawn(io, name) : changedLines(io);
      while (!stopped.signal.aborted) {
        show(await migrator.status(name));
        await sleep(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      }
    });
  } finally {
    process.off('SIGINT', stop);
  }
}

function jsonLines({ stdout }: Io): (report: Report) => void {
  let before = '';
  return (report) => {
    const text = JSON.stringify(report);
    if (text !== before) stdout.write(`${text}\n`);
    before = text;
  };
}

function changedLines(io: Io): (report: Report) => void {
  const before = new Map<string, string>();
  return ({ migrations }) => {
    for (const entry of migrations) {
      const line = statusLine(entry);
      if (before.get(entry.name) !== line) printLine(io, line);
      before.set(entry.name, line);
    }
  };
}

function drawn({ stdout: screen }: Io, name: string | undefined): (report: Report) => void {
  let before: Drawing = nothingDrawn;
  return (report) => {
    const columns = screen.columns || 80;
    const lines = statusLines(report, name !== undefined).map((line) =>
      [...pasteable(stripControls(line))].slice(0, columns - 1).join(''),
    );
    // The heading, and the end of what is too long: the newest migrations are there.
    const room = Math.max(2, (screen.rows || 24) - 1);
    const shown = lines.length <= room ? lines : [...lines.slice(0, 1), ...lines.slice(1 - room)];
    screen.write(redraw(before, shown, columns));
    before = { lines: shown, columns };
  };
}
