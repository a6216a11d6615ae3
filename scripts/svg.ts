import type { Span, Style } from './virtual-screen.ts';

/** What stood on a terminal from one moment on. */
export interface Frame {
  readonly atMs: number;
  readonly lines: readonly (readonly Span[])[];
}

const size = { column: 8.4, line: 19, padding: 16, title: 28 } as const;
const colors: Readonly<Record<number, string>> = {
  31: '#ff7b72',
  32: '#7ee787',
  33: '#e3b341',
  36: '#56d4dd',
  90: '#8b949e',
};

// The last frame stays for reading before it begins anew.
const restMs = 4_000;

// Of the frames, the one that is shown where nothing moves: a bar about half full.
const stillAt = 0.5;

/**
 * Frames of a terminal as one SVG that plays them again and again, in text and CSS alone. Whoever prefers less motion,
 * and whatever does not animate, sees a run in progress.
 */
export function renderSvg(frames: readonly Frame[], columns: number): string {
  const rows = Math.max(...frames.map(({ lines }) => lines.length));
  const width = Math.ceil(columns * size.column + size.padding * 2);
  const height = rows * size.line + size.padding * 2 + size.title;
  const totalMs = (frames.at(-1)?.atMs ?? 0) + restMs;
  const still = Math.floor(frames.length * stillAt);
  const drawn = frames.map((frame, index) => {
    return `<g class="${index === still ? 'still ' : ''}f f${index}">${frame.lines.map(lineOf).join('')}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="A terminal in which umzug-cluster runs a migration">
<style>
${styleOf(frames, totalMs)}
</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${['#ff5f56', '#ffbd2e', '#27c93f'].map((fill, at) => `<circle cx="${20 + at * 18}" cy="18" r="6" fill="${fill}"/>`).join('')}
${drawn.join('\n')}
</svg>
`;
}

function styleOf(frames: readonly Frame[], totalMs: number): string {
  const percent = (ms: number): string => ((ms / totalMs) * 100).toFixed(2);
  const moves = frames.map(({ atMs }, index) => {
    const from = percent(atMs);
    const to = percent(frames[index + 1]?.atMs ?? totalMs);
    const before = index === 0 ? '' : `0%{visibility:hidden}`;
    const after = index === frames.length - 1 ? '' : `${to}%{visibility:hidden}`;
    return `@keyframes k${index}{${before}${from}%{visibility:visible}${after}}.f${index}{animation-name:k${index}}`;
  });
  return `text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#c9d1d9}
.f{visibility:hidden}.still{visibility:visible}
@media (prefers-reduced-motion:no-preference){.f{animation:${totalMs}ms step-end infinite}${moves.join('')}}`;
}

function lineOf(spans: readonly Span[], row: number): string {
  if (spans.length === 0) return '';
  const y = size.title + size.padding + (row + 0.7) * size.line;
  let column = 0;
  const parts = spans.map(({ text, style }) => {
    const x = size.padding + column * size.column;
    const letters = [...text].length;
    column += letters;
    // The reader's font may have other widths than the box characters of its fallback.
    const length = ` textLength="${(letters * size.column).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
    return text.trim() === ''
      ? ''
      : `<tspan x="${x.toFixed(1)}"${length}${looks(style)}>${escaped(text)}</tspan>`;
  });
  return `<text xml:space="preserve" y="${y.toFixed(1)}">${parts.join('')}</text>`;
}

function looks(style: Style): string {
  const color = style.map((code) => colors[code]).find((found) => found !== undefined);
  const bold = style.includes(1) ? ' font-weight="bold"' : '';
  const dim = style.includes(2) ? ' fill-opacity="0.65"' : '';
  return `${color === undefined ? '' : ` fill="${color}"`}${bold}${dim}`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
