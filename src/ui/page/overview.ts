import type { MigrationRow, Overview } from '../api/contract.ts';
import { counted, duration, moment, percent, rate, whole } from './format.ts';
import { html, useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { type Held, addressOf } from './screen.ts';

const states = 'running reverting interrupted paused failed cancelled pending executed missing'.split(' ');

// Kept for whoever comes back from a run.
const kept = { text: '', state: '', scrolled: 0 };

/** All migrations in order, of which only those are in the document that can be seen. */
export function OverviewPage({ overview }: { readonly overview: Overview }): unknown {
  const [filter, setFilter] = useState({ text: kept.text, state: kept.state });
  useLayoutEffect(() => {
    scrollTo(0, kept.scrolled);
    return () => void (kept.scrolled = scrollY);
  }, []);
  const change = (news: Partial<typeof filter>): void => {
    setFilter({ ...filter, ...news });
    Object.assign(kept, news);
  };
  const wanted = filter.text.trim().toLowerCase();
  const shown = overview.migrations
    .map((row, index) => ({ row, no: index + 1 }))
    .filter(({ row }) => filter.state === '' || row.state === filter.state)
    .filter(({ row }) => row.name.toLowerCase().includes(wanted));
  const none =
    overview.migrations.length === 0 ? 'There are no migrations yet.' : 'No migration matches the filter.';
  return html`
    <section aria-labelledby="migrations">
      <div class="titled">
        <h1 id="migrations">Migrations</h1>
        <input type="search" aria-label="Filter by name" placeholder="Filter by name" value=${filter.text}
          onInput=${(event: Event) => change({ text: (event.target as HTMLInputElement).value })} />
      </div>
      <${States} rows=${overview.migrations} chosen=${filter.state} choose=${(state: string) => change({ state })} />
      ${shown.length === 0 ? html`<p class="empty">${none}</p>` : html`<${List} shown=${shown} />`}
    </section>`;
}

interface StatesProps {
  readonly rows: readonly MigrationRow[];
  readonly chosen: string;
  readonly choose: (state: string) => void;
}

function States({ rows, chosen, choose }: StatesProps): unknown {
  const counts = states
    .map((state) => ({ state, count: rows.filter((row) => row.state === state).length }))
    .filter(({ state, count }) => count > 0 || state === chosen);
  const one = (state: string, count: number): unknown => html`
    <button key=${state} class="chip" aria-pressed=${chosen === state} onClick=${() => choose(state)}>
      ${state === '' ? 'all' : html`<${State} state=${state} />`} <b>${whole(count)}</b>
    </button>`;
  return html`
    <div class="chips" role="group" aria-label="Filter by state">
      ${one('', rows.length)} ${counts.map(({ state, count }) => one(state, count))}
    </div>`;
}

interface Numbered {
  readonly row: MigrationRow;
  /** Place among all, from 1. */
  readonly no: number;
}

const columns = ['No.', 'Migration', 'State', 'Progress', 'Rows', 'Rate', 'Time left'] as const;

function List({ shown }: { readonly shown: readonly Numbered[] }): unknown {
  const body = useRef<HTMLElement | null>(null);
  const { first, last, height } = useWindow(body, shown.length);
  const place = { height: `${shown.length * height}px`, paddingTop: `${first * height}px` };
  return html`
    <div class="list" role="table" aria-label="Migrations" aria-rowcount=${shown.length + 1}>
      <div role="rowgroup" class="heads">
        <div role="row" aria-rowindex="1" class="row">
          ${columns.map((name) => html`<span key=${name} role="columnheader">${name}</span>`)}
        </div>
      </div>
      <div ref=${body} role="rowgroup" class="rows" style=${place}>
        ${shown.slice(first, last).map(
          (one, index) => html`
          <${Row} key=${one.row.name} ...${one} at=${first + index + 2} />`,
        )}
      </div>
    </div>`;
}

// Above and below what is seen, so that the Tab key finds the next one.
const spare = 8;
// Not with each row that is scrolled is the list made again.
const step = 4;

/** Which rows of a list can be seen. All have the height that the style sheet gives them. */
function useWindow(body: Held<HTMLElement>, count: number): { first: number; last: number; height: number } {
  const [seen, setSeen] = useState({ first: 0, last: 40, height: 56 });
  useEffect(() => {
    let frame = 0;
    const look = (): void => {
      frame = 0;
      const { current } = body;
      const row = current?.firstElementChild;
      if (current === null || row == null) return;
      const height = row.getBoundingClientRect().height;
      const above = Math.max(0, -current.getBoundingClientRect().top);
      const top = Math.floor(above / height / step) * step;
      const first = Math.max(0, Math.min(top - spare, count - 1));
      const last = first + Math.ceil(innerHeight / height) + 2 * spare + step;
      setSeen((old) =>
        old.first === first && old.last === last && old.height === height ? old : { first, last, height },
      );
    };
    const soon = (): void => {
      if (frame === 0) frame = requestAnimationFrame(look);
    };
    look();
    addEventListener('scroll', soon, { passive: true });
    addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener('scroll', soon);
      removeEventListener('resize', soon);
    };
  }, [count]);
  return { ...seen, first: Math.min(seen.first, Math.max(0, count - 1)) };
}

function Row({ row, no, at }: Numbered & { readonly at: number }): unknown {
  const isWorking = row.kind !== 'schema' && (row.state === 'running' || row.state === 'reverting');
  return html`
    <div role="row" aria-rowindex=${at} class="row">
      <span role="cell" class="no">${whole(no)}</span>
      <span role="cell" class="named">
        <a href=${addressOf(row.name)} title=${row.name}><bdi>${row.name}</bdi></a>
        <${Note} row=${row} />
      </span>
      <span role="cell"><${State} state=${row.state} /></span>
      <span role="cell" class="share"><${Bar} row=${row} /></span>
      <span role="cell" class="number rows-done">${rowsText(row)}</span>
      <span role="cell" class="number">${isWorking ? rate(row.rowsPerSecond) : ''}</span>
      <span role="cell" class="number">${isWorking ? duration(row.etaSeconds) : ''}</span>
    </div>`;
}

/** `31,000 of 62,000`; nothing for a migration that has no rows. */
export function rowsText({ kind, state, rowsDone, rowsEstimated }: MigrationRow): string {
  if (kind !== 'data' || (state === 'pending' && rowsDone === 0 && rowsEstimated === null)) return '';
  if (state === 'executed' || rowsEstimated === null) return whole(rowsDone);
  return `${whole(rowsDone)} of ${whole(Math.max(rowsDone, rowsEstimated))}`;
}

/** What is wrong with it, or what it waits for, or else what it is. */
function Note({ row }: { readonly row: MigrationRow }): unknown {
  const { error, waiting, throttled, heldBy, quarantined, executedAt, kind, state } = row;
  const set = quarantined === 0 ? null : `${counted(quarantined, 'row')} quarantined`;
  if (error !== null)
    return html`<small class="bad" title=${error}>${set === null ? '' : `${set} · `}${error}</small>`;
  if (set !== null) return html`<small class="bad">${set}</small>`;
  if (waiting !== null) return html`<small class="warn" title=${waiting}>waiting: ${waiting}</small>`;
  if (throttled !== null) return html`<small class="warn" title=${throttled}>held back: ${throttled}</small>`;
  if (heldBy !== null) return html`<small>${state} ${heldBy}</small>`;
  const what = kind === null ? 'the file does not load' : kind === 'data' ? 'data' : 'schema';
  return html`<small>${what}${executedAt === null ? '' : ` · executed ${moment(executedAt)}`}</small>`;
}

/** A state as a word with a mark, which is not told by its color alone. */
export function State({ state }: { readonly state: string }): unknown {
  return html`<span class=${`state ${state}`}><i class=${`dot ${state}`}></i>${state}</span>`;
}

/** A bar with its percent; of a schema migration, which is done or not, nothing. */
export function Bar({ row }: { readonly row: MigrationRow }): unknown {
  const { fraction, kind, state, name } = row;
  if (kind === 'schema' || state === 'pending' || state === 'missing') return '';
  const shown = Math.floor((fraction ?? 0) * 100);
  const now = fraction === null ? undefined : shown;
  return html`
    <span class=${`bar ${state}`} role="progressbar" aria-label=${`Progress of ${name}`}
      aria-valuemin="0" aria-valuemax="100" aria-valuenow=${now}>
      <span style=${{ width: `${shown}%` }}></span>
    </span>
    <span class="number percent">${percent(fraction)}</span>`;
}
