import type { OtherTool, Requirement } from '../../core/values/other-tools.ts';
import { UmzugClusterError, fail } from '../../errors.ts';
import { nameOfFile } from '../../migration/file/folder.ts';
import type { LoadedMigration } from '../../migration/file/loader.ts';
import type { Session } from '../../postgres/session.ts';
import { requireJournal } from './drizzle.ts';
import { type OtherPlaces, filesRecordedAs, readOtherTool } from './other-tools.ts';

/** What to type to have another tool execute what is pending there. */
const commands: Readonly<Record<OtherTool, string>> = {
  knex: 'npx knex migrate:latest',
  sequelize: 'npx sequelize-cli db:migrate',
  umzug: 'up of your umzug',
  'node-pg-migrate': 'npx node-pg-migrate up',
  kysely: 'npx kysely migrate latest',
  typeorm: 'npx typeorm migration:run -d DATA_SOURCE',
  mikroorm: 'npx mikro-orm migration:up',
  prisma: 'npx prisma migrate deploy',
  drizzle: 'npx drizzle-kit migrate',
};

/**
 * Throws ORDER where a migration requires what another tool has not recorded as executed. In an open transaction; leaves
 * an empty search path behind.
 */
export async function refuseTooEarly(
  session: Session,
  { name, requires }: Pick<LoadedMigration, 'name' | 'requires'>,
  places: OtherPlaces,
): Promise<void> {
  for (const required of requires) {
    const why = await whyNotYet(session, required, places);
    if (why === null) continue;
    throw fail('ORDER', {
      message: `${name} requires ${required.tool}:${required.name}, which is not executed`,
      detail: `${why}; nothing was run`,
      hint: `run it first: ${commands[required.tool]}`,
    });
  }
}

async function whyNotYet(
  session: Session,
  { tool, name }: Requirement,
  places: OtherPlaces,
): Promise<string | null> {
  if (tool === 'drizzle') requireJournal(places);
  try {
    const { table, names } = await readOtherTool(session, tool, undefined, places);
    const wanted = [nameOfFile(name), ...filesRecordedAs(tool, [nameOfFile(name)], places)];
    return wanted.some((one) => names.includes(one)) ? null : `${table} does not record it`;
  } catch (error) {
    if (!(error instanceof UmzugClusterError) || error.code !== 'CONFIG') throw error;
    return error.message;
  }
}
