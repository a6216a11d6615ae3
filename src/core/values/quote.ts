/** A name as an identifier of SQL, in double quotes: `order` is a word, `"order"` a name. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
