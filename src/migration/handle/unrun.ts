import { BuilderParts } from '../sql/knex-private.ts';
import type { Knex } from 'knex';
import { confineCopy } from './confined.ts';
import { noteBuilder } from './known-update.ts';

/**
 * Finds what an author has built and never run: knex sends nothing until a builder is awaited or returned.
 * One that is compiled is run, or part of one that is.
 */
export interface BuiltThings {
  readonly add: (builder: object) => void;
  readonly used: (builder: object) => void;
  /** What the first forgotten one does (`update`, `insert`, `schema`), or null. */
  readonly forgotten: () => string | null;
}

const writes: ReadonlySet<string> = new Set(['insert', 'update', 'del', 'truncate', 'upsert', 'merge']);

/** Keeps builders until they are used, and tells of each that is made. One per handle. */
export function trackBuilt(made: (builder: object) => void): BuiltThings {
  const unused = new Set<object>();
  return {
    add: (builder) => {
      unused.add(builder);
      made(builder);
    },
    used: (builder) => void unused.delete(builder),
    forgotten: () => {
      for (const builder of unused) {
        const what = writeOf(builder);
        if (what !== null) return what;
      }
      return null;
    },
  };
}

/** A builder that only reads, or a fragment for another one, is none to miss. */
function writeOf(builder: object): string | null {
  const { method, sequence } = new BuilderParts(builder);
  const { sql } = builder as { sql?: unknown };
  if (typeof (method as unknown) === 'string') return writes.has(method) ? method : null;
  if (Array.isArray(sequence)) return sequence.length > 0 ? 'schema' : null;
  const word =
    typeof sql === 'string' ? /^\s*(insert|update|delete|merge|truncate|call|do)\b/i.exec(sql) : null;
  return word?.[1]?.toLowerCase() ?? null;
}

/** A query builder class that tells when one is made and what it updates, and counts one that is copied as used. */
export function trackedBuilder(
  Builder: new (client: Knex.Client) => Knex.QueryBuilder,
  built: BuiltThings,
): new (client: Knex.Client) => Knex.QueryBuilder {
  return class extends Builder {
    constructor(client: Knex.Client) {
      super(client);
      built.add(this);
    }
    override clone(): Knex.QueryBuilder {
      built.used(this);
      const copy = super.clone();
      confineCopy(this, copy);
      return copy;
    }
    override toSQL(...all: []): Knex.Sql {
      const compiled = super.toSQL(...all);
      noteBuilder(this, compiled);
      return compiled;
    }
  } as new (client: Knex.Client) => Knex.QueryBuilder;
}
