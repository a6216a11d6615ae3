/** Lines at the end of a terminal that are drawn again and again. */
export interface Drawing {
  readonly lines: readonly string[];
  /** Columns of the terminal when they were drawn. */
  readonly columns: number;
}

export const nothingDrawn: Drawing = { lines: [], columns: 0 };

// oxlint-disable-next-line no-control-regex
const escapes = /\u001b\[[0-9;]*m/g;

// A terminal that knows it shows all between the two at once, others pass over it.
const beginUpdate = '\u001b[?2026h';
const endUpdate = '\u001b[?2026l';
const toLineEnd = '\u001b[K';
const toScreenEnd = '\u001b[0J';

/**
 * What to write to replace one drawing by another, with whole lines `above` it that stay. Every line is written over
 * in place and only its rest is cleared: nothing is blank in between, so nothing flickers.
 */
export function redraw(before: Drawing, lines: readonly string[], columns: number, above = ''): string {
  const up = rowsOf(before, columns);
  const kept = above.replaceAll('\n', `${toLineEnd}\n`);
  const drawn = lines.map((line) => `${line}${toLineEnd}\n`).join('');
  const back = up === 0 ? '' : `\r\u001b[${up}A`;
  return `${beginUpdate}${back}${kept}${drawn}${toScreenEnd}${endUpdate}`;
}

/** Rows that a drawing takes by now: a terminal that was made narrower has wrapped its lines. */
function rowsOf({ lines }: Drawing, columns: number): number {
  return lines.reduce((rows, line) => {
    const { length } = [...line.replaceAll(escapes, '')];
    return rows + Math.max(1, Math.ceil(length / Math.max(1, columns)));
  }, 0);
}
