import { openControl } from '../../cluster/worker/control.ts';
import { databaseLabel } from '../../config/database.ts';
import { Joiner } from '../../migrator/joiner.ts';
import { openMigrator } from '../../migrator/migrator.ts';
import type { CommandContext } from '../frame/context.ts';
import { type Io, printJson, printLine } from '../frame/output.ts';
import { summary } from './summary.ts';
import type { Stopping } from './stopping.ts';

/** Serves the health of this host and joins runs until it is stopped, which is its end and no failure. */
export async function runWorker(
  listen: string | null,
  { config, logger, view }: CommandContext,
  stopping: Stopping,
  io: Io,
): Promise<void> {
  const { feedOn, serveHealth } = await import('../../ui/server/health.ts');
  const control = openControl(config);
  const migrator = await openMigrator(config, logger, control);
  const feed = feedOn(config, control);
  migrator.on('progress', (progress) => view.show(progress));
  const { json } = config.output;
  const joiner = new Joiner({
    config,
    control,
    migrator,
    logger,
    onTrouble: (what) => feed.trouble(what),
    onOutcome: (outcome) => {
      if (!json) printLine(io, summary(outcome));
    },
  });
  const label = databaseLabel(config.database);
  const served = await serveHealth(listen, { label, feed, standing: () => joiner.standing });
  try {
    if (json) printJson(io, { url: served.url });
    else printLine(io, served.url);
    stopping.attach(joiner, config.tuning);
    await joiner.work();
  } finally {
    await served.close();
    await migrator.close();
  }
}
