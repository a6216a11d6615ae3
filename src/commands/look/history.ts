import { formatTime } from '../../core/config/duration.ts';
import { detailOf } from '../../ledger/look/history.ts';
import type { HistoryReport } from '../../migrator/migrator.ts';
import type { TargetEnd } from '../../targets/pool.ts';
import { type Command, positiveCount, textOf, valueFlag } from '../frame/command.ts';
import { type Io, printJson, printLine, printNote, table } from '../frame/output.ts';

type Event = HistoryReport['events'][number];

const defaultLimit = 100;

/** `history`: who ran, paused, changed, retried or reverted what. Writes nothing to the database. */
export const history: Command = {
  command: 'history [name]',
  describe: 'show who ran, paused, changed or reverted what, latest first',
  options: { limit: valueFlag(`how many events, of the latest (default: ${defaultLimit})`) },
  positionals: { name: 'only this migration, with every attempt and its error' },
  insteadOf: () => 'umzug-cluster history NAME',
  examples: [
    ['history', 'the latest events of all migrations'],
    ['history NAME --json', 'one migration, for a program'],
  ],
  run: async (flags, io) => {
    const limit = positiveCount(flags, 'limit') ?? defaultLimit;
    const { withContext } = await import('../frame/context.ts');
    const name = textOf(flags, 'name');
    await withContext(
      flags,
      io,
      async ({ migrator, config }) => {
        const report = await migrator.history(name, limit);
        if (config.output.json) return printJson(io, report);
        print(io, report);
      },
      async (several) => {
        const { endWith } = await import('../frame/each-target.ts');
        const ends = await several.fleet.each(({ migrator }) => migrator.history(name, limit), several.view);
        several.view.close();
        if (!several.config.output.json) print(io, merged(ends, limit));
        await endWith(io, several, { ends, again: 'history' }, (report) => report);
      },
    );
  },
};

/** The latest of all targets. */
function merged(
  ends: readonly TargetEnd<HistoryReport>[],
  limit: number,
): { readonly events: readonly Told[]; readonly hasMore: boolean } {
  const all = ends
    .flatMap(({ target, value }) => (value?.events ?? []).map((event) => ({ ...event, target: target.name })))
    .toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at));
  const hasMore = all.length > limit || ends.some(({ value }) => value?.hasMore === true);
  return { events: all.slice(0, limit), hasMore };
}

const head = ['at', 'migration', 'event', 'by', 'version', 'file', 'commit', ''];

/** An event of one of several targets. */
type Told = Event & { readonly target?: string };

function print(
  io: Io,
  { events, hasMore }: { readonly events: readonly Told[]; readonly hasMore: boolean },
): void {
  if (events.length === 0) return printLine(io, 'nothing has happened yet');
  const rows = [head, ...events.map(cells)];
  const isOne = events.every(({ target }) => target === undefined);
  const shown = isOne ? rows : rows.map((row, at) => [events[at - 1]?.target ?? 'target', ...row]);
  for (const line of table(shown)) printLine(io, line);
  if (hasMore) printNote(io, `older events: --limit ${events.length * 10}`);
}

// As git abbreviates a commit.
const shown = (hash: string | null): string => hash?.slice(0, 7) ?? '';

function cells(event: Event): readonly string[] {
  const { at, migration, direction, version, fileSha256, gitCommit } = event;
  const isDown = direction === 'down' && event.event !== 'reverted';
  return [
    `${formatTime(at)}Z`,
    migration ?? '',
    isDown ? `${event.event} (down)` : event.event,
    by(event),
    version ?? '',
    shown(fileSha256),
    shown(gitCommit),
    detailOf(event),
  ];
}

function by({ host, pid, osUser, dbUser }: Event): string {
  if (host === null) return `role "${dbUser}"`;
  return `${osUser === null ? '' : `${osUser}@`}${host}:${pid}`;
}
