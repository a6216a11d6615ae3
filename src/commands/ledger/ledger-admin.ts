import type { Output } from '../../config/config.ts';
import { type LedgerAdmin, withLedgerAdmin } from '../../migrator/ledger-admin.ts';
import type { Arguments } from '../frame/command.ts';
import type { Io } from '../frame/output.ts';
import { inEachTarget } from '../frame/each-target.ts';

/** Reads the configuration and opens the ledger's books for `work`, of each target where there are several. */
export async function withLedger(
  flags: Arguments,
  all: Io,
  again: string,
  work: (books: LedgerAdmin, output: Output, io: Io) => Promise<void>,
): Promise<void> {
  await inEachTarget(flags, all, { again }, ({ config, io }) =>
    withLedgerAdmin(config, (books) => work(books, config.output, io)),
  );
}
