import type { Output } from '../../config/config.ts';
import { type LedgerAdmin, withLedgerAdmin } from '../../migrator/ledger-admin.ts';
import type { Arguments } from '../frame/command.ts';
import type { Io } from '../frame/output.ts';
import { withContext } from '../frame/context.ts';

/** Reads the configuration and opens the ledger's books for `work`. */
export async function withLedger(
  flags: Arguments,
  io: Io,
  work: (books: LedgerAdmin, output: Output) => Promise<void>,
): Promise<void> {
  await withContext(flags, io, ({ config }) =>
    withLedgerAdmin(config, (books) => work(books, config.output)),
  );
}
