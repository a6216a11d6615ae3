import { createRequire } from 'node:module';
import os from 'node:os';
import { gitCommit } from '../core/values/git-commit.ts';

/** Who works here, as the ledger's history names it. */
export interface ThisProcess {
  readonly host: string;
  readonly pid: number;
  /** Null where the user has no name, as in a container that runs as any number. */
  readonly osUser: string | null;
  /** Of umzug-cluster. */
  readonly version: string;
  readonly gitCommit: string | null;
}

let known: ThisProcess | null = null;

/** Describes this process. What it says stays the same as long as it runs. */
export function thisProcess(): ThisProcess {
  known ??= {
    host: os.hostname(),
    pid: process.pid,
    osUser: userName(),
    // Required, not imported: it is outside of the folder that is built.
    version: (createRequire(import.meta.url)('../../package.json') as { version: string }).version,
    gitCommit: gitCommit(process.env),
  };
  return known;
}

function userName(): string | null {
  try {
    return os.userInfo().username;
  } catch {
    return null;
  }
}
