// Texts of the product's own, and what is quoted by them.
const ascii: ReadonlyMap<string, string> = new Map([
  ['…', '...'],
  ['’', "'"],
  ['‘', "'"],
  ['“', '"'],
  ['”', '"'],
  ['„', '"'],
]);

/**
 * A message as a database can store it that has this `server_encoding`. What may be missing there is replaced: a
 * message that cannot be written down would be lost, and its chunk be taken for one that killed its process.
 */
export function storable(message: string, encoding: string | undefined): string {
  if (encoding === undefined || encoding === 'UTF8' || encoding === 'SQL_ASCII') return message;
  const most = encoding === 'LATIN1' ? '\u00ff' : '\u007f';
  return Array.from(message, (letter) => (letter <= most ? letter : (ascii.get(letter) ?? '?'))).join('');
}
