/**
 * Errors of author code that no promise carries to the runner: a rejection that nobody awaits, an exception
 * in a timer, a use of `db` after its chunk was over. Whoever runs author code listens; the command line and
 * the workers report what the process's own events bring.
 */

type Listener = (error: unknown) => void;

const listeners = new Set<Listener>();

// What is reported already, and follows from it: the statements of a chunk that has failed, for example.
const accounted = new WeakSet<object>();

/** Calls `listener` with each stray error, until the returned function is called. */
export function listenForStrays(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Hands a stray error to all that listen; false where nobody does. */
export function reportUnhandled(error: unknown): boolean {
  if (typeof error === 'object' && error !== null && accounted.has(error)) return true;
  for (const listener of listeners) listener(error);
  return listeners.size > 0;
}

/** Notes an error that is reported in another way: if it is unhandled as well, it is not reported twice. */
export function accountFor(error: unknown): void {
  if (typeof error === 'object' && error !== null) accounted.add(error);
}
