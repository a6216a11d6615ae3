import { fail } from '../../errors.ts';
import { normalized, skipNothing } from '../sql/sql-words.ts';

/**
 * The word filter for author statements: what would end the chunk's transaction, or outlive it. It is a seat
 * belt with a clear message; the wall is the commit guard (a deferred foreign key) and the extended protocol,
 * which takes one statement at a time.
 */

const ownTransaction =
  'umzug-cluster opens and ends the transaction; throw an error to roll it back, use db.transaction() for a savepoint';
const outlives = 'it would outlive the transaction and leak to other clients of a pooler';

const byFirstWords: readonly [pattern: RegExp, advice: string][] = [
  [/^(commit|end|abort|begin|start transaction|prepare transaction)\b/, ownTransaction],
  [/^rollback\b(?! (?:(?:work|transaction) )?to\b)/, ownTransaction],
  [/^set (?:local )?transaction\b/, 'umzug-cluster sets the isolation level and the access mode'],
  [
    /^set local session authorization\b/,
    'umzug-cluster could not continue as its own role; use SET LOCAL ROLE',
  ],
  [/^set constraints all\b/, 'it also checks the guard of umzug-cluster; name the constraints'],
  [/^set (?!local\b|constraints\b)/, `${outlives}; use SET LOCAL`],
  [/^(listen|unlisten|discard|reset|load|prepare|deallocate)\b/, `${outlives}; leave it out`],
  [/^copy\b.* (?:from stdin|to stdout)\b/, 'db cannot stream; insert the rows, or use updateRows'],
];

// Locks of whole tables: the chunks of the other workers hold theirs, and the application waits behind.
const wholeTable: readonly [pattern: RegExp, advice: string][] = [
  [
    /^(truncate|lock|alter|drop|create (?:unique )?index|reindex|cluster|vacuum|refresh materialized view)\b/,
    'it locks the whole table, and the chunks of all workers would wait; do it in a schema migration: export up(db)',
  ],
];

// Looked for in all of the statement where its text, or its first words, hint at it.
const anywhere: readonly [
  place: 'text' | 'opening',
  hint: RegExp,
  pattern: RegExp,
  what: string,
  advice: string,
][] = [
  [
    'text',
    /advisory_lock/i,
    /\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(/,
    'pg_advisory_lock',
    `${outlives}; use pg_advisory_xact_lock`,
  ],
  [
    'text',
    /set_config/i,
    /\bset_config\s*\((?:[^()]|\([^()]*\))*,\s*(?:false|0)\s*\)/,
    'set_config(…, false)',
    `${outlives}; use set_config(…, true)`,
  ],
  [
    'opening',
    /^declare\b/,
    /^declare\b.* with hold\b/,
    'DECLARE … WITH HOLD',
    `${outlives}; leave WITH HOLD out`,
  ],
  [
    'opening',
    /^create (?:(?:global|local) )?temp/,
    /^create (?:(?:global|local) )?temp(?:orary)?\b(?!.* on commit drop\b)/,
    'CREATE TEMP',
    `${outlives}; use a CTE, or ON COMMIT DROP`,
  ],
];

// Long enough for every pattern of first words; the rest of a long statement is not looked at.
const firstWords = 200;

/** The error for a statement that would end the transaction, outlive it or, unless `ddl`, lock a table; or null. */
export function forbiddenIn(sql: string, { ddl }: { readonly ddl: boolean }): Error | null {
  const start = skipNothing(sql, 0);
  const opening = normalized(sql.slice(start, start + firstWords));
  for (const [pattern, advice] of ddl ? byFirstWords : [...byFirstWords, ...wholeTable]) {
    const match = pattern.exec(opening);
    if (match) return refused(match[0].trim().toUpperCase().slice(0, 40), advice);
  }
  const places = { text: sql, opening };
  for (const [place, hint, pattern, what, advice] of anywhere) {
    if (hint.test(places[place]) && pattern.test(normalized(sql.slice(start)))) return refused(what, advice);
  }
  return null;
}

function refused(what: string, advice: string): Error {
  return fail('MIGRATION_FAILED', { message: `a migration must not run ${what}`, hint: advice });
}
