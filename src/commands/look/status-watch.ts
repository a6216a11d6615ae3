import { setTimeout as sleep } from 'node:timers/promises';
import { type Drawing, nothingDrawn, redraw } from '../../core/progress/redraw.ts';
import { stripControls } from '../../core/errors/redact.ts';
import { pasteable } from '../../core/values/invocation.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printLine } from '../frame/output.ts';
import { type CommandContext, withContext } from '../frame/context.ts';
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
    const again = async (look: () => Promise<void>): Promise<void> => {
      while (!stopped.signal.aborted) {
        await look();
        await sleep(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      }
    };
    const details = name !== undefined;
    const one = async ({ migrator, config }: CommandContext): Promise<void> => {
      const lines = (report: Report): readonly string[] => statusLines(report, details);
      const show = config.output.json ? jsonLines(io) : io.stdout.isTTY ? drawn(io, lines) : changedLines(io);
      await again(async () => show(await migrator.status(name)));
    };
    await withContext(flags, io, one, async ({ fleet, config }) => {
      const { statusOfTargets } = await import('./status-targets.ts');
      const { endReport } = await import('../../targets/verdict.ts');
      type Ends = Awaited<ReturnType<typeof look>>;
      const look = () => fleet.each(({ migrator }) => migrator.status(name));
      const lines = (ends: Ends): readonly string[] => statusOfTargets(ends, details);
      const asJson = jsonLines(io);
      const show = config.output.json
        ? (ends: Ends) => asJson({ targets: ends.map((end) => endReport(end, (report) => report)) })
        : io.stdout.isTTY
          ? drawn(io, lines)
          : changedTargets(io, lines);
      await again(async () => show(await look()));
    });
  } finally {
    process.off('SIGINT', stop);
  }
}

function jsonLines({ stdout }: Io): (report: object) => void {
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

/** Of several targets, each line that was not there the time before. */
function changedTargets<T>(io: Io, linesOf: (report: T) => readonly string[]): (report: T) => void {
  let before: ReadonlySet<string> = new Set();
  return (report) => {
    const lines = linesOf(report);
    for (const line of lines) if (!before.has(line)) printLine(io, line);
    before = new Set(lines);
  };
}

function drawn<T>({ stdout: screen }: Io, linesOf: (report: T) => readonly string[]): (report: T) => void {
  let before: Drawing = nothingDrawn;
  return (report) => {
    const columns = screen.columns || 80;
    const lines = linesOf(report).map((line) =>
      [...pasteable(stripControls(line))].slice(0, columns - 1).join(''),
    );
    // The heading, and the end of what is too long: the newest migrations are there.
    const room = Math.max(2, (screen.rows || 24) - 1);
    const shown = lines.length <= room ? lines : [...lines.slice(0, 1), ...lines.slice(1 - room)];
    screen.write(redraw(before, shown, columns));
    before = { lines: shown, columns };
  };
}
