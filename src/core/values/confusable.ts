/** Two names of which the one that a person would put first runs last. */
export interface ConfusablePair {
  readonly first: string;
  readonly second: string;
}

/**
 * Neighbours in the order of their names that a person would read the other way round: `10-b` runs before `2-a`,
 * since names are compared letter by letter. `names` are in the order in which they run.
 */
export function confusablePairs(names: readonly string[]): readonly ConfusablePair[] {
  return names.flatMap((first, index) => {
    const second = names[index + 1];
    return second !== undefined && readsAfter(numbersOf(first), numbersOf(second)) ? [{ first, second }] : [];
  });
}

/** The numbers that a name begins with: [2025, 5, 18] of `2025.05.18T22…`. */
function numbersOf(name: string): readonly bigint[] {
  const prefix = /^\d+(?:[._-]\d+)*/.exec(name)?.[0] ?? '';
  return prefix === '' ? [] : prefix.split(/[._-]/).map(BigInt);
}

function readsAfter(numbers: readonly bigint[], others: readonly bigint[]): boolean {
  for (const [index, number] of numbers.entries()) {
    const other = others[index];
    if (other === undefined || number === other) continue;
    return number > other;
  }
  return false;
}

/** Groups of names that differ in nothing but case: one file on some systems, several on others. */
export function alikeInCase(names: readonly string[]): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const alike = groups.get(name.toLowerCase());
    if (alike === undefined) groups.set(name.toLowerCase(), [name]);
    else alike.push(name);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}
