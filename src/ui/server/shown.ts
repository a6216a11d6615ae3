import { openControl } from '../../cluster/worker/control.ts';
import type { Config } from '../../config/config.ts';
import { databaseLabel } from '../../config/database.ts';
import { fail } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { type Migrator, openMigrator } from '../../migrator/migrator.ts';
import type { Target } from '../../targets/resolve.ts';
import { Choices, idOf, lookOnceAt } from '../api/choice.ts';
import { Feed } from '../api/feed.ts';
import { lookAt } from '../api/reading.ts';
import { type Act, actOn } from './actions.ts';
import type { Site, Shown } from './app.ts';

/** What the page shows, until it is closed. */
type Showing = Pick<Site, 'databases' | 'choose'> & { readonly close: () => Promise<void> };

/** One database, with a connection for all looks at it. */
export function showOne(config: Config, migrator: Migrator, canWrite: boolean): Showing {
  const control = openControl(config);
  const id = idOf(config);
  const feed = new Feed((asked) => lookAt(config, control, { databaseId: id, canWrite }, asked));
  control.onTrouble = (trouble) => trouble !== null && feed.trouble(trouble.what);
  const act = canWrite ? actOn(config, migrator) : null;
  return {
    databases: [{ id, label: databaseLabel(config.database), feed, act }],
    choose: null,
    close: async () => {
      control.cut(fail('STOPPED', { message: 'the page is served no longer' }));
      await feed.idle();
      await control.close();
    },
  };
}

/** Several targets, each connected to as long as somebody looks at it. */
export function showTargets(
  { tuning }: Config,
  targets: readonly Target[],
  { canWrite, logger }: { readonly canWrite: boolean; readonly logger: Logger },
): Showing {
  const choices = new Choices(targets, tuning.targetsAtOnce, canWrite);
  const databases = targets.map(({ config }): Shown => {
    const feed = new Feed((asked) => lookOnceAt(config, canWrite, asked));
    const act: Act = async (asked, user) => {
      const migrator = await openMigrator(config, logger);
      try {
        return await actOn(config, migrator)(asked, user);
      } finally {
        await migrator.close();
      }
    };
    return { id: idOf(config), label: databaseLabel(config.database), feed, act: canWrite ? act : null };
  });
  return {
    databases,
    choose: () => choices.now(),
    close: async () => {
      await choices.close();
      await Promise.all(databases.map(({ feed }) => feed.idle()));
    },
  };
}
