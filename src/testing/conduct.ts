import { loadConfig } from '../config/config.ts';
import { fail } from '../errors.ts';
import { makeChecks, mostRows } from './checks/checks.ts';
import type { MigrationTestReport } from './contract/contract.ts';
import { runCommand } from './command/command.ts';
import { withClient, withDatabases } from './database/databases.ts';
import { withFolder } from './command/folder.ts';
import { environmentOn } from './command/environment.ts';
import type { SeedStep, TestRequest } from './contract/messages.ts';
import { seedWith } from './database/seeding.ts';
import type { AuthorCallbacks, TestContext } from './checks/test-context.ts';
import { type Snapshot, readSnapshot } from './database/snapshot.ts';

/** Makes the test from its beginning to its end, and leaves nothing behind. Throws where it cannot be made. */
export async function conduct(
  request: TestRequest,
  callbacks: AuthorCallbacks,
): Promise<MigrationTestReport> {
  const { cwd = process.cwd(), chunkSize = 1 } = request;
  if (!Number.isSafeInteger(chunkSize) || chunkSize < 1 || chunkSize > mostRows) {
    throw fail('USAGE', { message: `testMigration: chunkSize must be a whole number from 1 to ${mostRows}` });
  }
  const { ledgerSchema, url } = await configurationOf(request, cwd);
  const origin = { url, copyRows: request.copyRows === true };
  return await withDatabases(origin, (databases) =>
    withFolder(async (folder) => {
      const configuration = flagsOf(request);
      const place = { cwd, folder, configuration, signal: callbacks.signal };
      const seeded = await databases.make();
      const startedAt = await withClient(seeded, async (client) => {
        const { rows } = await client.query<{ at: string }>('select clock_timestamp()::text as at');
        return rows[0]?.at ?? '';
      });
      await prepare({ request, callbacks, place }, seeded);
      const name = await folder.add(request.file);
      const options = { ledgerSchema, startedAt, ignore: request.ignore ?? [] };
      const look = (at: string): Promise<Snapshot> =>
        withClient(at, (client) => readSnapshot(client, options));
      const copy = (of: string): Promise<string> => databases.make(of);
      const fresh = (): Promise<string> => copy(seeded);
      return await makeChecks({
        request,
        name,
        place,
        callbacks,
        look,
        copy,
        fresh,
        seed: await look(seeded),
      });
    }),
  );
}

/** Reads the project's configuration, as the command line will, and finds a server. */
async function configurationOf(
  request: TestRequest,
  cwd: string,
): Promise<{ readonly ledgerSchema: string; readonly url: string }> {
  const url = request.database ?? (await embeddedUrl(cwd));
  const { ledgerSchema } = await loadConfig({
    flags: { knexfile: request.knexfile, env: request.env },
    cwd,
    env: environmentOn(url),
  });
  return { ledgerSchema, url };
}

async function embeddedUrl(cwd: string): Promise<string> {
  const { embeddedUrl: urlOf, startEmbedded } = await import('../postgres/embedded/index.ts');
  return urlOf(await startEmbedded(cwd));
}

function flagsOf({ knexfile, env }: TestRequest): readonly string[] {
  return [
    ...(knexfile === undefined ? [] : ['--knexfile', knexfile]),
    ...(env === undefined ? [] : ['--env', env]),
  ];
}

/** What comes before the migration under test; what fails here is no fault of it. */
async function prepare(
  context: Pick<TestContext, 'request' | 'callbacks' | 'place'>,
  url: string,
): Promise<void> {
  const { request, place, callbacks } = context;
  for (const step of request.schema) await seed(step, callbacks, url);
  for (const file of request.earlier) {
    const name = await place.folder.add(file);
    const ended = await runCommand(place, url, ['up', '--name', name, '--allow-out-of-order']);
    if (ended.kind === 'done') continue;
    const message = ended.kind === 'failed' ? ended.message : 'its process was killed';
    throw fail('USAGE', { message: `testMigration: the earlier migration ${name} fails: ${message}` });
  }
  for (const step of request.seed) await seed(step, callbacks, url);
  await withClient(url, (client) => client.query('analyze'));
}

async function seed(step: SeedStep, callbacks: AuthorCallbacks, url: string): Promise<void> {
  if (step.kind !== 'function') return await withClient(url, (client) => seedWith(client, step));
  const error = await callbacks.call(step.no, url);
  if (error !== null) throw fail('USAGE', { message: `testMigration: the seed throws: ${error}` });
}
