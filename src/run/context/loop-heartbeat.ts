const cell = (): Int32Array => new Int32Array(new SharedArrayBuffer(4));

/**
 * What the event loop of this process tells the thread that watches it (`cluster/process-watch`). In shared
 * memory: a process that is blocked answers nothing.
 */
export const pulse = {
  /** Turns of the event loop. */
  turns: cell(),
  /** Chunks that this process has open: outside them nothing is locked, and the loop may stand still. */
  openChunks: cell(),
  /** Set to 1 by the thread where the loop stood still for longer. */
  blocked: cell(),
} as const;
