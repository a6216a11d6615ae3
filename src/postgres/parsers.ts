/**
 * Type parsers for the product's own statements. They do not depend on the global `pg.types`, which an
 * application may have changed; keys and big numbers stay text.
 */
const boolOid = 16;
const numericOids = new Set([20, 21, 23, 700, 701]);
const textArrayOid = 1009;
const jsonOids = new Set([114, 3802]);

/** The shape of `types` in a pg query config. */
export const ledgerTypes = {
  getTypeParser(oid: number): (value: string) => unknown {
    if (oid === boolOid) return (value) => value === 't';
    if (numericOids.has(oid)) return Number;
    if (oid === textArrayOid) return parseTextArray;
    if (jsonOids.has(oid)) return (value) => JSON.parse(value) as unknown;
    return (value) => value;
  },
};

/** Parses the text form of a one-dimensional `text[]`; `NULL` elements become null. */
export function parseTextArray(text: string): (string | null)[] {
  const items: (string | null)[] = [];
  let index = 1;
  while (index < text.length - 1) {
    const [item, next] = text[index] === '"' ? readQuoted(text, index + 1) : readBare(text, index);
    items.push(item);
    index = next + 1;
  }
  return items;
}

function readQuoted(text: string, start: number): [string, number] {
  let value = '';
  let index = start;
  while (text[index] !== '"') {
    if (text[index] === '\\') index += 1;
    value += text[index];
    index += 1;
  }
  return [value, index + 1];
}

function readBare(text: string, start: number): [string | null, number] {
  let end = start;
  while (text[end] !== ',' && text[end] !== '}') end += 1;
  const value = text.slice(start, end);
  return [value === 'NULL' ? null : value, end];
}
