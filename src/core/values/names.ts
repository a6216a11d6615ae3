/** The candidate that `word` is most likely a slip of, or null where none is near. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const lower = word.toLowerCase();
  let best: { readonly candidate: string; readonly distance: number } | null = null;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (best === null || distance < best.distance) best = { candidate, distance };
  }
  // A third of the letters wrong is still a slip; more is another word.
  const limit = Math.max(1, Math.floor(word.length / 3));
  return best !== null && best.distance <= limit ? best.candidate : null;
}

/** `, did you mean "x"?`, or nothing: the end of a message about an unknown name. */
export function didYouMean(word: string, candidates: readonly string[], prefix = ''): string {
  const near = nearest(word, candidates);
  return near === null ? '' : `, did you mean "${prefix}${near}"?`;
}

/** A message without a name at its beginning, for a place that gives it already. */
export function withoutName(message: string, name: string): string {
  const own = `${name}: `;
  return message.startsWith(own) ? message.slice(own.length) : message;
}

/** Levenshtein's distance where two swapped neighbours count as one slip (optimal string alignment). */
function editDistance(left: string, right: string): number {
  const rows = Array.from({ length: left.length + 1 }, (_, i) =>
    Array.from({ length: right.length + 1 }, (_cell, j) => (i === 0 ? j : j === 0 ? i : 0)),
  );
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= left.length; i += 1) {
    for (let j = 1; j <= right.length; j += 1) {
      const cost = left[i - 1] === right[j - 1] ? 0 : 1;
      let value = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + cost);
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      if (swapped) value = Math.min(value, at(i - 2, j - 2) + 1);
      const row = rows[i];
      if (row !== undefined) row[j] = value;
    }
  }
  return at(left.length, right.length);
}
