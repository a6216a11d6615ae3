/** What a server has run out of, for a message, and what a person can do about it. */
export interface Shortage {
  readonly what: string;
  readonly remedy: string;
}

/** An error of the server, as far as it tells of a shortage. */
export interface ServerComplaint {
  /** SQLSTATE. */
  readonly code: string | undefined;
  readonly message: string;
  /** The server's own hint; settings are named in it, whatever its language. */
  readonly hint: string | undefined;
}

const disk: Shortage = {
  what: 'the disk of the database server is full',
  remedy: 'free space there',
};
const memory: Shortage = {
  what: 'the database server is out of memory',
  remedy: 'add memory, or lower work_mem, --workers or --chunk-size',
};
const locks: Shortage = {
  what: 'the lock table of the database server is full',
  remedy: 'end the transactions that hold many locks, or raise max_locks_per_transaction',
};
const connections: Shortage = {
  what: 'the database has no connections left',
  remedy: "close others, lower --workers, or raise max_connections or the role's limit",
};
const configured: Shortage = {
  what: 'a limit of the database server is reached',
  remedy: 'raise it, or lower --chunk-size',
};

const byCode: ReadonlyMap<string | undefined, Shortage> = new Map([
  ['53100', disk],
  ['53200', memory],
  ['53300', connections],
  ['53400', configured],
]);

/** Names what an error of class 53 is about, or null where the server has run out of nothing. */
export function shortageOf({ code, message, hint }: ServerComplaint): Shortage | null {
  // Locks live in shared memory, and have its SQLSTATE; what is missing there is a setting, not memory.
  if (code === '53200' && /\bmax_(pred_)?locks_per_transaction\b/.test(hint ?? '')) return locks;
  // PgBouncer says it under the code of a protocol violation.
  if (code === '08P01' && message.startsWith('no more connections allowed')) return connections;
  return byCode.get(code) ?? null;
}
