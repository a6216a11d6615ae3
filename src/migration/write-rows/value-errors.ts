import { codeOf } from '../../errors.ts';
import { withoutValues } from '../../core/errors/server-message.ts';
import type { TargetColumn } from './target-columns.ts';

interface Refusal extends Error {
  readonly code: string;
  readonly routine: string | undefined;
  readonly column?: string;
}

/** A statement of a helper, with its columns and their values. */
interface Tried {
  readonly helper: string;
  readonly table: string;
  readonly sql: string;
  readonly columns: readonly TargetColumn[];
  readonly texts: readonly (readonly (string | null)[])[];
}

/**
 * An error of Postgres about the values of `updateRows` or its like, told by column and without values. It stays the same
 * object, so that it is still known as one of the database, by its SQLSTATE.
 */
export function refusedByColumn(error: unknown, tried: Tried): unknown {
  if (!isRefusal(error)) return error;
  const { code, routine } = error;
  const message = withoutValues({ code, message: withoutSql(error.message, tried.sql), routine });
  const told = `${tried.helper}: ${where(error, message, tried)} of "${tried.table}": ${message}`;
  // Frames only: what stands before them is the message, which knex has filled with the statement's values.
  const frames = /\n {4}at [\s\S]*/.exec(error.stack ?? '')?.[0] ?? '';
  error.message = told;
  error.stack = `${error.name}: ${told}${frames}`;
  return error;
}

function isRefusal(error: unknown): error is Refusal {
  // 42601: the statement is not the author's, so it is the syntax of a value, such as a tsvector's.
  return error instanceof Error && /^(2[23]|42601)/.test(codeOf(error) ?? '');
}

const lastList = '::pg_catalog.text[]';

/** knex puts the statement before the message, whole or its beginning. */
function withoutSql(message: string, sql: string): string {
  for (const end of [`${sql.slice(sql.lastIndexOf(lastList) + lastList.length)} - `, '… - ']) {
    const at = message.lastIndexOf(end);
    if (at !== -1) return message.slice(at + end.length);
  }
  return message;
}

/** The columns that may be meant: Postgres names the column, or the type. */
function where({ column }: Refusal, message: string, { columns, texts }: Tried): string {
  if (column !== undefined) return `column "${column}"`;
  const named = columns.filter(({ shown }) => mentions(message, shown));
  const wrong = named.filter((one) =>
    texts[columns.indexOf(one)]?.some((text) => looksWrong(text, one.shown)),
  );
  const meant = wrong.length > 0 ? wrong : named.length > 0 ? named : columns;
  const listed = meant.map(({ name, shown }) => `"${name}" (${shown})`).join(', ');
  return meant.length === 1 ? `column ${listed}` : `one of the columns ${listed}`;
}

// What Postgres says of values whose type it does not name.
const families: readonly (readonly [message: RegExp, types: RegExp])[] = [
  [/numeric field overflow/, /^numeric/],
  [/date\/time field/, /^(date|time|timestamp)/],
  [/malformed array|array literal|multidimensional/, /\[\]$/],
  [/malformed range|range (lower|upper) bound/, /range$/],
  [/time zone displacement/, /time zone/],
  [/Unicode escape/, /^json/],
  [/tsvector|no escaped character/, /^tsvector/],
];

function mentions(message: string, shown: string): boolean {
  // Of arrays it names the element, of jsonb json.
  const type = shown
    .replace(/(\[\])+$/, '')
    .replace(/^jsonb$/, 'json')
    .replace(/ without time zone$/, '');
  const named = new RegExp(`(type|enum) ${type.replaceAll(/[^\w ]/g, '\\$&')}(?! with| varying|\\w)`);
  if (named.test(message) || message.startsWith(`${type} out of range`)) return true;
  return families.some(([said, types]) => said.test(message) && types.test(shown));
}

const integerBits: Readonly<Record<string, number>> = { smallint: 16, integer: 32, bigint: 64 };
const uuid = /^\{?([0-9a-f]{4}-?){8}\}?$/i;

/**
 * Whether a text is surely none of its type; for the types of most keys, which many columns share. Asked only
 * once Postgres has refused one of them.
 */
function looksWrong(text: string | null, shown: string): boolean {
  if (text === null) return false;
  if (shown === 'uuid') return !uuid.test(text);
  const bits = integerBits[shown];
  if (bits === undefined) return shown.endsWith('[]');
  if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) return true;
  const value = BigInt(text.trim().replace('+', ''));
  return BigInt.asIntN(bits, value) !== value;
}
