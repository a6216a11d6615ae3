import type { Output } from '../config.ts';
import { type Bookkeeping, withBookkeeping } from '../migrator/bookkeeping.ts';
import type { Arguments } from './command.ts';
import type { Io } from './output.ts';
import { withSession } from './session.ts';

/** Reads the configuration and opens the ledger's books for `work`. */
export async function withBooks(
  flags: Arguments,
  io: Io,
  work: (books: Bookkeeping, output: Output) => Promise<void>,
): Promise<void> {
  await withSession(flags, io, ({ config }) =>
    withBookkeeping(config, (books) => work(books, config.output)),
  );
}
