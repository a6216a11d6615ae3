import type { Knex } from 'knex';

/**
 * Builders that are never compiled as they stand: whatever an author calls on one, what is sent is made from it at
 * the last moment. knex compiles each query, part of another or not, by the client's `queryCompiler`.
 */
type Query = Knex.QueryBuilder;

/** Makes what is compiled from a copy of what was built. Refuses by throwing what `refuse` returns. */
export type Confining = (built: Query, refuse: (message: string, hint: string) => Error) => Query;

const confined = new WeakMap<object, Confining>();

/** Has a builder, and each copy of it, compiled by `as`. */
export function confine(builder: Query, as: Confining): Query {
  confined.set(builder, as);
  return builder;
}

/** A copy of a builder is as confined as it is. */
export function confineCopy(builder: object, copy: object): void {
  const as = confined.get(builder);
  if (as !== undefined) confined.set(copy, as);
}

/** Whether it is compiled in its own way. */
export function isConfined(builder: object): boolean {
  return confined.has(builder);
}

/** What is compiled for a builder: itself, unless it is confined. */
export function compiledFor(builder: object, refuse: (message: string, hint: string) => Error): object {
  const as = confined.get(builder);
  if (as === undefined) return builder;
  const copy = (builder as Query).clone();
  confined.delete(copy);
  return as(copy, refuse);
}
