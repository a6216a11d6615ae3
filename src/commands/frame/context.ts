import { loadConfig } from '../../config/config.ts';
import type { Config } from '../../config/config.ts';
import { describeDatabase } from '../../config/database.ts';
import type { TargetsConfig } from '../../config/targets.ts';
import { fail } from '../../errors.ts';
import { createLogger } from '../../logger.ts';
import type { Logger } from '../../logger.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import type { Fleet } from '../../targets/fleet.ts';
import type { Arguments } from './command.ts';
import type { Io } from './output.ts';
import { openProgressLog, openTerminal } from './terminal.ts';
import type { TargetsView } from './targets-view.ts';
import type { ProgressView } from './terminal.ts';

/** What a command that works with the database is given. */
export interface CommandContext {
  readonly config: Config;
  readonly logger: Logger;
  readonly migrator: Migrator;
  readonly view: ProgressView;
}

/** What a command is given that works with several targets. */
export interface SeveralContext {
  /** Of what they share. */
  readonly config: Config;
  readonly logger: Logger;
  readonly fleet: Fleet;
  readonly view: TargetsView;
}

/**
 * Reads the configuration, opens logger and migrator, does `work`, closes what it opened. Where the knexfile has
 * targets, does `several` instead; without it, `work` on the one that `--targets` names. Throws USAGE for more.
 */
export async function withContext<Result>(
  flags: Arguments,
  io: Io,
  work: (session: CommandContext) => Promise<Result>,
  several?: (session: SeveralContext) => Promise<Result>,
): Promise<Result> {
  const loaded = await loadConfig({ flags, cwd: io.cwd, env: io.env, isTerminal: io.stderr.isTTY === true });
  if (loaded.targets !== null) return await withTargets(loaded, loaded.targets, io, { work, several });
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

interface Works<Result> {
  readonly work: (session: CommandContext) => Promise<Result>;
  readonly several: ((session: SeveralContext) => Promise<Result>) | undefined;
}

async function withTargets<Result>(
  loaded: Config,
  asked: TargetsConfig,
  io: Io,
  { work, several }: Works<Result>,
): Promise<Result> {
  const { openTargetsLog, openTargetsTerminal } = await import('./targets-view.ts');
  const terminal = loaded.output.progress ? openTargetsTerminal(io.stderr) : null;
  const logger = createLogger(loaded.output, io.stderr, terminal?.write);
  const config = await withDatabase(loaded, logger);
  const { resolveTargets } = await import('../../targets/resolve.ts');
  const { Fleet: Several } = await import('../../targets/fleet.ts');
  const targets = await resolveTargets(config, asked);
  const [first] = targets;
  if (several === undefined && (targets.length > 1 || first === undefined)) throw oneAtATime(targets.length);
  const view = terminal ?? openTargetsLog(logger);
  const fleet = new Several(targets, config.tuning.targetsAtOnce, logger);
  view.begin(targets.length);
  try {
    if (several !== undefined) return await several({ config, logger, fleet, view });
    const [end] = await fleet.each((at) => work({ ...at, view: view.of(at.target.name) }));
    if (end === undefined || end.state !== 'done') throw end?.error;
    return end.value as Result;
  } finally {
    view.close();
    await fleet.close();
  }
}

function oneAtATime(count: number): Error {
  return fail('USAGE', {
    message: `this works on one target at a time, and there are ${count}`,
    hint: 'name it: --targets NAME',
  });
}

/** Starts the embedded server where the project asks for it, and says so. */
async function withDatabase(config: Config, logger: Logger): Promise<Config> {
  if (config.database.kind !== 'embedded') return config;
  const { embeddedUrl, startEmbedded } = await import('../../postgres/embedded/index.ts');
  const connection = embeddedUrl(await startEmbedded(config.cwd));
  const label = describeDatabase(connection);
  logger.info({ event: 'embedded.started', database: label }, `using the embedded server at ${label}`);
  return Object.freeze({ ...config, database: Object.freeze({ kind: 'connection', connection, label }) });
}
