import type { Output } from '../config.ts';
import { type Bookkeeping, withBookkeeping } from '../migrator/bookkeeping.ts';
import type { Arguments } from './command.ts';
import { withSession } from './session.ts';

/** Reads the configuration and opens the ledger's books for `work`. */
export async function withBooks(
  flags: Arguments,
  work: (books: Bookkeeping, output: Output) => Promise<void>,
): Promise<void> {
  await withSession(flags, ({ config }) => withBookkeeping(config, (books) => work(books, config.output)));
}
