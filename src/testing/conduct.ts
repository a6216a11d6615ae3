import { loadConfig } from '../config/config.ts';
import { fail } from '../errors.ts';
import { makeChecks, mostRows } from './checks/checks.ts';
import { type Stage, conductList, contextOf, filesOf } from './conduct-list.ts';
import type { MigrationListReport, MigrationTestReport } from './contract/contract.ts';
import { runCommand } from './command/command.ts';
import { withClient, withDatabases } from './database/databases.ts';
import { withFolder } from './command/folder.ts';
import { environmentOn } from './command/environment.ts';
import type { TestRequest } from './contract/messages.ts';
import { fill } from './checks/fill.ts';
import type { AuthorCallbacks, TestContext } from './checks/test-context.ts';
import { readSnapshot } from './database/snapshot.ts';

/** Makes the test from its beginning to its end, and leaves nothing behind. Throws where it cannot be made. */
export async function conduct(
  request: TestRequest,
  callbacks: AuthorCallbacks,
): Promise<MigrationTestReport | MigrationListReport> {
  const { cwd = process.cwd(), chunkSize = 1 } = request;
  if (!Number.isSafeInteger(chunkSize) || chunkSize < 1 || chunkSize > mostRows) {
    throw fail('USAGE', { message: `testMigration: chunkSize must be a whole number from 1 to ${mostRows}` });
  }
  const { ledgerSchema, url } = await configurationOf(request, cwd);
  const origin = { url, copyRows: request.copyRows === true };
  return await withDatabases(origin, (databases) =>
    withFolder(async (folder) => {
      const configuration = flagsOf(request);
      const { args = {} } = request;
      const place = { cwd, folder, configuration, args, signal: callbacks.signal };
      const { tested } = request;
      // The earlier ones may be given arguments that only a later one declares.
      for (const file of filesOf(tested)) await folder.add(file);
      const seeded = await databases.make();
      const startedAt = await withClient(seeded, async (client) => {
        const { rows } = await client.query<{ at: string }>('select clock_timestamp()::text as at');
        return rows[0]?.at ?? '';
      });
      await prepare({ request, callbacks, place }, seeded);
      const options = { ledgerSchema, startedAt, ignore: request.ignore ?? [] };
      const stage: Stage = {
        place,
        callbacks,
        look: (at) => withClient(at, (client) => readSnapshot(client, options)),
        copy: (of) => databases.make(of),
      };
      if (typeof tested !== 'string') return await conductList(stage, request, tested, seeded);
      return await makeChecks(await contextOf(stage, request, { file: tested, seeded }));
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
  context: Pick<TestContext, 'callbacks' | 'place'> & { readonly request: TestRequest },
  url: string,
): Promise<void> {
  const { request, place, callbacks } = context;
  await fill(request.schema, callbacks, url);
  for (const file of request.earlier) {
    const name = await place.folder.add(file);
    const ended = await runCommand(place, url, ['up', '--name', name, '--allow-out-of-order']);
    if (ended.kind === 'done') continue;
    const message = ended.kind === 'failed' ? ended.message : 'its process was killed';
    throw fail('USAGE', { message: `testMigration: the earlier migration ${name} fails: ${message}` });
  }
  await fill(request.seed, callbacks, url);
}
