import type { RangeView } from '../api/contract.ts';
import { counted, percent, whole } from './format.ts';
import { html, useLayoutEffect, useMemo, useRef, useState } from './preact.js';
import { colorOf, steppedBy, useTheme, useWidth } from './screen.ts';

/** Where each range lies in the picture: the key space runs through `lines` lines, as text does. */
interface Layout {
  readonly lines: number;
  readonly lineHeight: number;
  /** From 0 to `lines`; in the order of the ranges. */
  readonly spans: readonly (readonly [from: number, to: number])[];
}

// Narrower ones cannot be told apart, and more lines are not looked at.
const rangePx = 7;
const mostLines = 56;

function layOut(ranges: readonly RangeView[], width: number): Layout {
  const lines = Math.max(1, Math.min(mostLines, Math.ceil((ranges.length * rangePx) / Math.max(width, 1))));
  const start = Math.min(...ranges.slice(0, 1).map(({ at }) => at));
  const total = ranges.reduce((most, { at, length }) => Math.max(most, at + length), 0) - start;
  const spans = ranges.map(({ at, length }, index): readonly [number, number] =>
    total > 0
      ? [((at - start) / total) * lines, ((at + length - start) / total) * lines]
      : [(index / ranges.length) * lines, ((index + 1) / ranges.length) * lines],
  );
  return { lines, lineHeight: lines === 1 ? 44 : lines < 8 ? 24 : lines < 24 ? 14 : 10, spans };
}

/** How many colors there are for hosts; further hosts share them. */
export const hostColors = 6;

/** The hosts of a run in one order, by which they have their colors. */
export function hostsOf(ranges: readonly RangeView[], processes: readonly string[]): readonly string[] {
  const active = ranges.flatMap(({ state, host }) => (state === 'active' && host !== null ? [host] : []));
  return [...new Set([...processes, ...active])].toSorted();
}

interface Props {
  readonly ranges: readonly RangeView[];
  readonly hosts: readonly string[];
}

/** The ranges as a map of the key space: a picture, one of whose ranges is described in words. */
export function KeySpace({ ranges, hosts }: Props): unknown {
  const box = useRef<HTMLElement | null>(null);
  const canvas = useRef<HTMLCanvasElement | null>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const [chosen, setChosen] = useState<number | null>(null);
  const layout = useMemo(() => layOut(ranges, width), [ranges, width]);
  const at = chosen === null ? null : Math.min(chosen, ranges.length - 1);
  useLayoutEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, { ranges, hosts, layout, width });
  }, [layout, hosts.join(' '), theme]);
  const point = (event: PointerEvent): void => {
    const { left, top } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    setChosen(rangeAt(layout, (event.clientX - left) / width, event.clientY - top));
  };
  const press = (event: KeyboardEvent): void => {
    const next = steppedBy(event.key, at ?? -1, ranges.length);
    if (next === null) return;
    event.preventDefault();
    setChosen(next);
  };
  const text = at === null ? 'Point at a range, or move with the arrow keys.' : describe(ranges, at);
  return html`
    <div ref=${box} class="key-space" role="slider" tabindex="0" aria-label="Ranges of the key space"
      aria-valuemin="1" aria-valuemax=${ranges.length} aria-valuenow=${(at ?? 0) + 1}
      aria-valuetext=${at === null ? summary(ranges) : text}
      onPointerMove=${point} onPointerDown=${point} onPointerLeave=${() => setChosen(null)} onKeyDown=${press}>
      <canvas ref=${canvas}></canvas>
      ${at !== null && html`<i class="chosen" style=${frameOf(layout, at, width)}></i>`}
    </div>
    <p class="told">${text}</p>
    <${Legend} ranges=${ranges} hosts=${hosts} />`;
}

/** Where the frame around a range lies; of one that runs over several lines, its beginning is framed. */
function frameOf({ lineHeight, spans }: Layout, at: number, width: number): Readonly<Record<string, string>> {
  const [from, to] = spans[at] ?? [0, 0];
  const left = (from % 1) * width;
  return {
    left: `${left}px`,
    top: `${Math.floor(from) * lineHeight}px`,
    width: `${Math.max(4, Math.min(width - left, (to - from) * width))}px`,
    height: `${lineHeight - 2}px`,
  };
}

/** `10 done, 4 in progress, 2 open` */
export function summary(ranges: readonly RangeView[]): string {
  const parts = (Object.keys(names) as RangeView['state'][]).flatMap((state) => {
    const count = ranges.filter((range) => range.state === state).length;
    return count === 0 ? [] : [`${whole(count)} ${names[state]}`];
  });
  return `${counted(ranges.length, 'range')}: ${parts.join(', ')}`;
}

const names = { done: 'done', active: 'in progress', open: 'open', quarantined: 'quarantined' } as const;

/** All that is known of one range, as a sentence. */
export function describe(ranges: readonly RangeView[], index: number): string {
  const range = ranges[index];
  if (range === undefined) return '';
  const { state, host, done, at, length, stolen, lastError } = range;
  const by = state === 'active' && host !== null ? ` by ${host}` : '';
  const share = state === 'active' || state === 'open' ? `, ${percent(done)} done` : '';
  const place =
    state === 'quarantined'
      ? `near row ${whole(at)}`
      : `about ${counted(length, 'row')} from row ${whole(at)} on`;
  const from = stolen ? '; split off the range of another worker' : '';
  const error = lastError === null ? '' : `; last error: ${lastError}`;
  return `Range ${whole(index + 1)} of ${whole(ranges.length)}: ${names[state]}${by}${share}; ${place}${from}${error}`;
}

function rangeAt({ lines, lineHeight, spans }: Layout, x: number, y: number): number | null {
  const line = Math.min(lines - 1, Math.max(0, Math.floor(y / lineHeight)));
  const place = line + Math.min(0.999_999, Math.max(0, x));
  // What is quarantined is drawn wider than it is, over what is beside it.
  const found = spans.findIndex(([from, to]) => place >= from && place < to);
  return found === -1 ? null : found;
}

interface Picture extends Props {
  readonly layout: Layout;
  readonly width: number;
}

function draw(canvas: HTMLCanvasElement, { ranges, hosts, layout, width }: Picture): void {
  const { lines, lineHeight, spans } = layout;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(lines * lineHeight * scale);
  canvas.style.height = `${lines * lineHeight}px`;
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) return;
  const colors = colorsOf(hosts);
  context.scale(scale, scale);
  context.fillStyle = colors.gap;
  context.fillRect(0, 0, width, lines * lineHeight);
  const fill = (from: number, to: number, color: string, leastPx = 0): void => {
    context.fillStyle = color;
    for (let line = Math.floor(from); line < Math.max(to, from + 1e-9) && line < lines; line++) {
      const left = Math.max(0, from - line) * width;
      const right = Math.min(1, to - line) * width;
      context.fillRect(left, line * lineHeight, Math.max(right - left, leastPx), lineHeight - 2);
    }
  };
  for (const [index, { state, done, host, stolen }] of ranges.entries()) {
    const [from, to] = spans[index] ?? [0, 0];
    // A gap between ranges that are wide enough for one.
    const end = (to - from) * width > 5 ? to - 1 / width : to;
    const middle = from + (end - from) * (state === 'done' ? 1 : done);
    if (middle > from) fill(from, middle, colors.done);
    if (end > middle) fill(middle, end, state === 'active' ? colors.host(host) : colors.open);
    if (stolen && state !== 'quarantined') mark(context, [from, width, lineHeight], colors.mark);
  }
  for (const [index, { state }] of ranges.entries()) {
    const [from, to] = spans[index] ?? [0, 0];
    if (state === 'quarantined') fill(from, to, colors.bad, 4);
  }
}

/** A notch at the start of a range that was stolen. */
function mark(
  context: CanvasRenderingContext2D,
  [from, width, lineHeight]: readonly [number, number, number],
  color: string,
): void {
  const line = Math.floor(from);
  const left = (from - line) * width;
  const size = Math.min(6, lineHeight / 2);
  context.fillStyle = color;
  context.beginPath();
  context.moveTo(left, line * lineHeight);
  context.lineTo(left + size, line * lineHeight);
  context.lineTo(left, line * lineHeight + size);
  context.fill();
}

function colorsOf(hosts: readonly string[]) {
  const ofHosts = Array.from({ length: hostColors }, (_, index) => colorOf(`--host-${index}`));
  const [done, open, gap, bad, mark] = ['--done', '--open', '--panel', '--bad', '--text'].map(colorOf);
  const host = (name: string | null): string =>
    ofHosts[Math.max(0, hosts.indexOf(name ?? '')) % hostColors] ?? '';
  return { done: done ?? '', open: open ?? '', gap: gap ?? '', bad: bad ?? '', mark: mark ?? '', host };
}

function Legend({ ranges, hosts }: Props): unknown {
  const entry = (name: string, text: string): unknown =>
    html`<li key=${text}><i class=${`swatch ${name}`}></i>${text}</li>`;
  const working = hosts.filter((host) =>
    ranges.some((range) => range.state === 'active' && range.host === host),
  );
  return html`
    <ul class="legend">
      ${entry('done', 'done')} ${entry('open', 'open')}
      ${working.map((host) => entry(`host-${hosts.indexOf(host) % hostColors}`, `in progress: ${host}`))}
      ${ranges.some(({ stolen }) => stolen) && entry('stolen', 'stolen')}
      ${ranges.some(({ state }) => state === 'quarantined') && entry('quarantined', 'quarantined')}
    </ul>`;
}

const perPage = 100;

/** The same in words, a hundred ranges at a time. */
export function RangeTable({ ranges }: { readonly ranges: readonly RangeView[] }): unknown {
  const [isOpen, setIsOpen] = useState(false);
  const [page, setPage] = useState(0);
  const pages = Math.max(1, Math.ceil(ranges.length / perPage));
  const from = Math.min(page, pages - 1) * perPage;
  const turn = (by: number): void =>
    setPage(Math.min(pages - 1, Math.max(0, Math.min(page, pages - 1) + by)));
  const open = (event: Event): void => setIsOpen((event.currentTarget as HTMLDetailsElement).open);
  const shown = isOpen ? ranges.slice(from, from + perPage) : [];
  return html`
    <details onToggle=${open}>
      <summary>The ranges in words</summary>
      ${
        pages > 1 &&
        html`<p class="pager">
        <button onClick=${() => turn(-1)} disabled=${from === 0}>Previous</button>
        <span>${whole(from + 1)} to ${whole(Math.min(ranges.length, from + perPage))} of ${whole(ranges.length)}</span>
        <button onClick=${() => turn(1)} disabled=${from + perPage >= ranges.length}>Next</button>
      </p>`
      }
      <ul class="words">
        ${shown.map(({ no }, index) => html`<li key=${no}>${describe(ranges, from + index)}</li>`)}
      </ul>
    </details>`;
}
