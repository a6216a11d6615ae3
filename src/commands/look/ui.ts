import { uiFlags } from '../../core/config/flags.ts';
import { type Command, switchFlag, textOf, valueFlag } from '../frame/command.ts';

/** What the page shows. */
type Behind = Parameters<(typeof import('../../ui/server/serve.ts'))['serve']>[1];

/** `ui`: serves a page on which migrations can be watched and steered. It runs none of them. */
export const ui: Command = {
  command: 'ui',
  describe: 'serve a web page on which migrations can be watched, paused, resumed and retried',
  options: Object.fromEntries(
    uiFlags.map(({ name, kind, describe }) => [
      name,
      kind === 'switch' ? switchFlag(describe) : valueFlag(describe),
    ]),
  ),
  insteadOf: () => 'umzug-cluster ui',
  examples: [
    ['ui', 'for a browser on this host; prints the URL'],
    ['ui --listen 0.0.0.0:4949', 'for others, with a token in UMZUG_CLUSTER_TOKEN'],
    ['ui --base-path /backfills', 'behind a proxy that shows it under that path'],
  ],
  run: async (given, io) => {
    const { flagsOfVariables } = await import('../../config/variables.ts');
    const { withContext } = await import('../frame/context.ts');
    const { printJson, printLine } = await import('../frame/output.ts');
    const { untilStopped } = await import('../run/stopping.ts');
    await untilStopped(async (stopped) => {
      const show = async ({ config, logger, behind }: Behind): Promise<void> => {
        const { serve } = await import('../../ui/server/serve.ts');
        const flags = { ...flagsOfVariables(io.env, uiFlags).flags, ...defined(given) };
        const served = await serve(
          {
            listen: textOf(flags, 'listen') ?? null,
            token: textOf(flags, 'token') ?? null,
            basePath: (textOf(flags, 'base-path') ?? '').replace(/^\/$/, ''),
            userHeader: textOf(flags, 'user-header') ?? null,
            isReadOnly: flags['read-only'] === true,
          },
          { config, logger, behind },
        );
        if (config.output.json) printJson(io, { url: served.url });
        else printLine(io, served.url);
        await stopped;
        await served.close();
      };
      await withContext(
        given,
        io,
        ({ migrator, ...at }) => show({ ...at, behind: { migrator } }),
        ({ fleet: { targets }, ...at }) => show({ ...at, behind: { targets } }),
      );
    });
  },
};

function defined(flags: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
}
