// What is in a migration's text for certain, without translating it: that takes 10 ms a file, and a folder may
// hold thousands of them.

const ownImport = /^import\s[\w$\s{},*]*\bfrom\s*(['"])umzug-cluster(?:\/[\w/-]+)?\1/gm;

/** Whether a source may import anything but this package; in doubt it may. */
export function mayImport(source: string): boolean {
  return /\b(?:import|require)\b|\bfrom\s*['"`/]/.test(source.replaceAll(ownImport, ''));
}

const comment = /\/\*[^]*?\*\/|\/\/.*$/gm;
const plainExport = /^export\s+(?:const|let|(?:async\s+)?function)\s+(select|update|up)\b/gm;
// By these too, anything may be exported; and in a template a program may stand.
const otherExport = /\bexport\s*(?:[{*]|default\b)|\bexports\b|`[^`]*\bexport\b/;

/** The kind of a migration by what it exports; null: that only loading it tells. */
export function plainKind(source: string): 'data' | 'schema' | null {
  const code = source.replaceAll(comment, '');
  if (otherExport.test(code)) return null;
  const names = new Set([...code.matchAll(plainExport)].map(([, name]) => name));
  if (names.has('up')) return names.size === 1 ? 'schema' : null;
  return names.size === 2 ? 'data' : null;
}
