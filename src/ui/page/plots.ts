import type UPlot from 'uplot';
import type { Point } from '../api/contract.ts';
import { clock, milliseconds, moment, rate, short, tick, whole } from './format.ts';
import { html, useEffect, useMemo, useRef, useState } from './preact.js';
import { colorOf, steppedBy, useTheme, useWidth } from './screen.ts';
import { uPlot } from './uplot.js';

interface Kind {
  readonly title: string;
  /** Number at a point; null: not known. */
  readonly valueOf: (point: Point) => number | null;
  readonly textOf: (point: Point) => string;
  readonly color: string;
  readonly height: number;
}

const kinds: readonly Kind[] = [
  kind('Rows per second', (point) => point[2], rate, ['--host-0', 120]),
  kind('Time of a chunk', (point) => point[3], milliseconds, ['--host-1', 96]),
  kind('Rows in a chunk', (point) => point[4], whole, ['--host-2', 96]),
  kind('Lanes of a process', (point) => point[5], whole, ['--host-4', 80]),
  {
    ...kind('Held back', (point) => (point[6] === null ? 0 : 1), whole, ['--warn', 56]),
    textOf: (point) => point[6] ?? 'no',
  },
];

function kind(
  title: string,
  valueOf: Kind['valueOf'],
  inWords: (value: number | null) => string,
  [color, height]: readonly [string, number],
): Kind {
  return { title, valueOf, textOf: (point) => inWords(valueOf(point)), color, height };
}

const spans = [
  ['all', 'from the start', Infinity],
  ['hour', 'the last hour', 3_600_000],
  ['minutes', 'the last 10 minutes', 600_000],
] as const;

/** What a run has told over time, as plots above each other with one time axis and one cursor. */
export function Plots({ points }: { readonly points: readonly Point[] }): unknown {
  const [span, setSpan] = useState<string>('all');
  const [chosen, setChosen] = useState<number | null>(null);
  const shown = useMemo(() => {
    const [, , ms] = spans.find(([name]) => name === span) ?? spans[0];
    const latest = points.at(-1)?.[0] ?? 0;
    return points.filter(([at]) => at >= latest - ms);
  }, [points, span]);
  const at = chosen === null || chosen >= shown.length ? null : chosen;
  const point = shown[at ?? shown.length - 1];
  const press = (event: KeyboardEvent): void => {
    const next = steppedBy(event.key, at ?? shown.length, shown.length);
    if (next === null) return;
    event.preventDefault();
    setChosen(next);
  };
  if (point === undefined) return html`<p class="empty">Nothing is measured yet.</p>`;
  const when = at === null ? `latest, ${clock(point[0])}` : moment(point[0]);
  return html`
    <div class="titled small">
      <p class="told">${when}</p>
      <select aria-label="Time shown" value=${span}
        onChange=${(event: Event) => setSpan((event.target as HTMLSelectElement).value)}>
        ${spans.map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}
      </select>
    </div>
    <div class="plots" role="slider" tabindex="0" aria-label="Time in the plots" onKeyDown=${press}
      aria-valuemin="1" aria-valuemax=${shown.length} aria-valuenow=${(at ?? shown.length - 1) + 1}
      aria-valuetext=${`${when}: ${kinds.map(({ title, textOf }) => `${title} ${textOf(point)}`).join(', ')}`}>
      ${kinds.map(
        (kind, index) => html`
        <figure key=${kind.title}>
          <figcaption>${kind.title} <b>${kind.textOf(point)}</b></figcaption>
          <${Plot} kind=${kind} points=${shown} at=${at} choose=${setChosen} hasTimes=${index === kinds.length - 1} />
        </figure>`,
      )}
    </div>`;
}

interface PlotProps {
  readonly kind: Kind;
  readonly points: readonly Point[];
  readonly at: number | null;
  readonly choose: (at: number | null) => void;
  /** The lowest plot alone names the times. */
  readonly hasTimes: boolean;
}

function Plot({ kind, points, at, choose, hasTimes }: PlotProps): unknown {
  const box = useRef<HTMLElement | null>(null);
  const plot = useRef<UPlot | null>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const data = useMemo(
    (): UPlot.AlignedData => [points.map((point) => point[0]), points.map((point) => kind.valueOf(point))],
    [points],
  );
  useEffect(() => {
    if (box.current === null || width === 0) return undefined;
    const options = optionsOf(kind, { width, hasTimes, choose });
    plot.current = new uPlot(options, data, box.current);
    return () => plot.current?.destroy();
  }, [width, theme]);
  useEffect(() => plot.current?.setData(data), [data]);
  useEffect(() => {
    const { current } = plot;
    const time = at === null ? undefined : data[0][at];
    if (current === null) return;
    const left = time === undefined ? -10 : current.valToPos(time, 'x');
    current.setCursor({ left, top: left < 0 ? -10 : 1 }, false);
  }, [at, data, width, theme]);
  return html`<div ref=${box} class="plot" aria-hidden="true"></div>`;
}

const timesPx = 26;

type Drawn = { readonly width: number } & Pick<PlotProps, 'hasTimes' | 'choose'>;

function optionsOf({ color, height, valueOf }: Kind, { width, hasTimes, choose }: Drawn): UPlot.Options {
  const { stepped } = uPlot.paths;
  const isOnOff = valueOf([0, 0, null, null, null, null, null]) === 0;
  const axis: UPlot.Axis = {
    stroke: colorOf('--quiet'),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colorOf('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: height + (hasTimes ? timesPx : 0),
    ms: 1,
    legend: { show: false },
    padding: [8, 8, hasTimes ? 0 : 8, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    hooks: { setCursor: [({ cursor }) => choose(cursor.idx ?? null)] },
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, isOnOff ? 1 : Math.max(most, 1) * 1.1] } },
    series: [
      {},
      {
        stroke: colorOf(color),
        width: 1.5,
        fill: `${colorOf(color)}22`,
        points: { show: false },
        spanGaps: true,
        ...(isOnOff && stepped !== undefined ? { paths: stepped({ align: 1 }) } : {}),
      },
    ],
    axes: [
      {
        ...axis,
        size: hasTimes ? timesPx : 0,
        space: 80,
        values: (...[, splits, , , apart]) => splits.map((at) => (hasTimes ? tick(at, apart) : '')),
      },
      {
        ...axis,
        size: 48,
        space: 28,
        // Lanes and rows are whole.
        incrs: [1, 2, 5, 10, 20, 50]
          .flatMap((one) => [one, one * 1e2, one * 1e4, one * 1e6])
          .toSorted((a, b) => a - b),
        values: (_, splits) => splits.map((at) => (isOnOff ? (at === 1 ? 'yes' : 'no') : short(at))),
      },
    ],
  };
}
