import { rewritten } from './sql-words.ts';

/** SQL for knex, whose placeholder is `?`, which a quoted name may hold as well. */

const quotedName = /"(?:[^"]|"")*"/g;

/** `$1` becomes `?`; its value is given as often as the text names it. */
export function toMarks(
  text: string,
  values: readonly unknown[],
): { readonly sql: string; readonly bindings: readonly unknown[] } {
  const bindings: unknown[] = [];
  const sql = escapeMarksInNames(text).replace(/"(?:[^"]|"")*"|\$\d+/g, (part) => {
    if (part.startsWith('"')) return part;
    bindings.push(values[Number(part.slice(1)) - 1]);
    return '?';
  });
  return { sql, bindings };
}

/** The same for a statement of another library; null where a backslash stands before a `?`, which knex takes for its escape. */
export function fromDollars(
  text: string,
  values: readonly unknown[],
): { readonly sql: string; readonly bindings: readonly unknown[] } | null {
  if (text.includes('\\?')) return null;
  const bindings: unknown[] = [];
  const escaped = (part: string): string => part.replaceAll('?', '\\?');
  const sql = rewritten(text, {
    words: (words) =>
      escaped(words).replaceAll(/(?<![\w$\u0080-\uffff])\$(\d+)/g, (_mark, no) => {
        bindings.push(values[Number(no) - 1]);
        return '?';
      }),
    nothing: escaped,
    literal: escaped,
  });
  return { sql, bindings };
}

/** Quoted names without `?`: knex's own escape `\?` takes a backslash before it for its own. */
export function escapeMarksInNames(text: string): string {
  return text.replace(quotedName, (name) =>
    name.includes('?') ? `U&${name.replaceAll('\\', '\\\\').replaceAll('?', '\\003F')}` : name,
  );
}

/** Every `?` but those of lists, which are bindings: a text of the product's own, whose operators may hold one as well. */
export function escapeMarksBesideLists(sql: string): string {
  return sql.replaceAll(/\?(?!::pg_catalog\.text\[\])/g, '\\?');
}
