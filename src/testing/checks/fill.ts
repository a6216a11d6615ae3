import { fail } from '../../errors.ts';
import type { SeedStep } from '../contract/messages.ts';
import { withClient } from '../database/databases.ts';
import { seedWith } from '../database/seeding.ts';
import type { AuthorCallbacks } from './test-context.ts';

/** Fills a database with what the steps of a seed say. Throws USAGE with what is wrong with them. */
export async function fill(
  steps: readonly SeedStep[],
  callbacks: AuthorCallbacks,
  url: string,
): Promise<void> {
  for (const step of steps) {
    if (step.kind === 'function') {
      const error = await callbacks.call(step.no, url);
      if (error !== null) throw fail('USAGE', { message: `testMigration: the seed throws: ${error}` });
    } else {
      await withClient(url, (client) => seedWith(client, step));
    }
  }
  await withClient(url, (client) => client.query('analyze'));
}
