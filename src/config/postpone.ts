import Module from 'node:module';

/**
 * Holds the place of a CommonJS module that a package loads at its start though nothing here asks for it: the
 * module itself is loaded when somebody does. `names`: the functions and classes that it exports.
 */
export function postpone(require: NodeJS.Require, module: string, names: readonly string[]): void {
  const place = resolved(require, module);
  if (place === null || require.cache[place] !== undefined) return;
  const held = new Module(place);
  held.filename = place;
  held.loaded = true;
  for (const name of names) {
    Object.defineProperty(held.exports, name, {
      get: (): unknown => {
        if (require.cache[place] === held) Reflect.deleteProperty(require.cache, place);
        return (require(place) as Record<string, unknown>)[name];
      },
    });
  }
  require.cache[place] = held;
}

/** Null where this release of the package has no such file; then it loads as it does. */
function resolved(require: NodeJS.Require, module: string): string | null {
  try {
    return require.resolve(module);
  } catch {
    return null;
  }
}
