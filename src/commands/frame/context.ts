import { loadConfig } from '../../config/config.ts';
import type { Config } from '../../config/config.ts';
import { describeDatabase } from '../../config/database.ts';
import { createLogger } from '../../logger.ts';
import type { Logger } from '../../logger.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import type { Arguments } from './command.ts';
import type { Io } from './output.ts';
import { openProgressLog, openTerminal } from './terminal.ts';
import type { ProgressView } from './terminal.ts';

/** What a command that works with the database is given. */
export interface CommandContext {
  readonly config: Config;
  readonly logger: Logger;
  readonly migrator: Migrator;
  readonly view: ProgressView;
}

/** Reads the configuration, opens logger and migrator, does `work`, closes what it opened. */
export async function withContext<Result>(
  flags: Arguments,
  io: Io,
  work: (session: CommandContext) => Promise<Result>,
): Promise<Result> {
  const loaded = await loadConfig({ flags, cwd: io.cwd, env: io.env, isTerminal: io.stderr.isTTY === true });
  const terminal = loaded.output.progress ? openTerminal(loaded.output, io.stderr) : null;
  const logger = createLogger(loaded.output, io.stderr, terminal?.write);
  const view = terminal ?? openProgressLog(logger);
  try {
    const config = await withDatabase(loaded, logger);
    const { openMigrator } = await import('../../migrator/migrator.ts');
    const migrator = await openMigrator(config, logger);
    try {
      return await work({ config, logger, migrator, view });
    } finally {
      await migrator.close();
    }
  } finally {
    view.close();
  }
}

/** Starts the embedded server where the project asks for it, and says so. */
async function withDatabase(config: Config, logger: Logger): Promise<Config> {
  if (config.database.kind === 'connection') return config;
  const { embeddedUrl, startEmbedded } = await import('../../postgres/embedded/index.ts');
  const connection = embeddedUrl(await startEmbedded(config.cwd));
  const label = describeDatabase(connection);
  logger.info({ event: 'embedded.started', database: label }, `using the embedded server at ${label}`);
  return Object.freeze({ ...config, database: Object.freeze({ kind: 'connection', connection, label }) });
}
