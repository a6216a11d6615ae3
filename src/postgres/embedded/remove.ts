/**
 * `node dist/postgres/embedded/remove.js`: stops and deletes the embedded server of the current folder, for
 * `make clean`. A program, not a module to import.
 */
import { messageOf } from '../../errors.ts';
import { removeEmbedded } from './index.ts';

try {
  await removeEmbedded(process.cwd());
} catch (error) {
  process.stderr.write(`cannot remove the embedded Postgres: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
