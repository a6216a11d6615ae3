import type {
  HistoryView,
  HostView,
  MigrationRow,
  Overview,
  QuarantinedView,
  RunDetail,
} from '../api/contract.ts';
import { Actions, type PendingAction } from './actions.ts';
import { counted, duration, moment, rate, unknown, whole } from './format.ts';
import { KeySpace, RangeTable, hostColors, hostsOf, summary } from './key-space.ts';
import { Bar, State, rowsText } from './overview.ts';
import { Plots } from './plots.ts';
import { html, useLayoutEffect, useRef } from './preact.js';
import { addressOf, apiOf } from './screen.ts';

interface Props {
  readonly detail: RunDetail;
  readonly overview: Overview;
  readonly ask: (action: PendingAction) => void;
}

/** All that is known of one run. */
export function RunPage({ detail, overview, ask }: Props): unknown {
  const { row, ranges, hosts, points, quarantine, history } = detail;
  const { canWrite } = overview;
  const heading = useRef<HTMLElement | null>(null);
  useLayoutEffect(() => {
    scrollTo(0, 0);
    heading.current?.focus();
  }, [row.name]);
  const names = hostsOf(
    ranges,
    hosts.map(({ process }) => process),
  );
  return html`
    <nav aria-label="Breadcrumb"><a href=${addressOf(null)}>All migrations</a></nav>
    <div class="titled">
      <h1 ref=${heading} tabindex="-1"><bdi>${row.name}</bdi></h1>
      <${State} state=${row.state} />
      ${canWrite && html`<${Actions} row=${row} ask=${ask} />`}
    </div>
    <${Figures} detail=${detail} />
    <${Notices} detail=${detail} />
    ${
      ranges.length > 0 &&
      html`<${Panel} id="space" title="Key space" note=${summary(ranges)}>
      <${KeySpace} ranges=${ranges} hosts=${names} /><${RangeTable} ranges=${ranges} /><//>`
    }
    <div class="columns">
      <div>${points.length > 0 && html`<${Panel} id="plots" title="Over time"><${Plots} points=${points} /><//>`}</div>
      <div>
        ${
          hosts.length > 0 &&
          html`<${Panel} id="hosts" title="Hosts">
          <${Hosts} hosts=${hosts} names=${names} at=${detail.at} /><//>`
        }
        ${
          row.quarantined > 0 &&
          html`<${Panel} id="quarantined" title="Quarantined rows" note=${whole(row.quarantined)}>
          <${Quarantined} detail=${detail} rows=${quarantine} ask=${canWrite ? ask : null} /><//>`
        }
        <${Panel} id="history" title="History"><${History} events=${history} /><//>
      </div>
    </div>`;
}

interface PanelProps {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly children?: unknown;
}

function Panel({ id, title, note, children }: PanelProps): unknown {
  return html`
    <section class="panel" aria-labelledby=${id}>
      <div class="titled small">
        <h2 id=${id}>${title}</h2>${note !== undefined && html`<p class="told">${note}</p>`}
      </div>
      ${children}
    </section>`;
}

function Figures({ detail }: { readonly detail: RunDetail }): unknown {
  const { row, at, chunks, retries, table, key, settings } = detail;
  const isWorking = row.state === 'running' || row.state === 'reverting';
  const ended = row.finishedAt ?? (isWorking ? at : null);
  const elapsed = row.startedAt === null || ended === null ? null : (ended - row.startedAt) / 1_000;
  const set = Object.entries(settings).map(
    ([name, value]) => `${name} ${value === null ? 'off' : String(value)}`,
  );
  const facts: readonly (readonly [string, string, boolean])[] = [
    ['Rows', rowsText(row) || unknown, row.kind !== 'schema'],
    ['Rate', rate(row.rowsPerSecond), isWorking],
    ['Time left', duration(row.etaSeconds), isWorking],
    ['Time taken', duration(elapsed), elapsed !== null],
    [
      'Chunks',
      retries > 0 ? `${whole(chunks)}, ${counted(retries, 'retry', 'retries')}` : whole(chunks),
      chunks > 0,
    ],
    ['Direction', 'rolling back', row.direction === 'down' && row.state !== 'pending'],
    ['Table', table ?? '', table !== null],
    ['Key', key.join(', '), key.length > 0],
    ['Started', moment(row.startedAt), row.startedAt !== null],
    ['Finished', moment(row.finishedAt), row.finishedAt !== null],
    ['Settings', set.join(', '), set.length > 0],
  ];
  const report = apiOf(`runs/${encodeURIComponent(row.runId ?? '')}/report.html`);
  return html`
    <section class="panel" aria-label="Progress">
      ${row.kind !== 'schema' && html`<div class="share large"><${Bar} row=${row} /></div>`}
      <dl class="figures">
        ${facts
          .filter(([, , isShown]) => isShown)
          .map(
            ([name, value]) => html`
          <div key=${name}><dt>${name}</dt><dd><bdi>${value}</bdi></dd></div>`,
          )}
      </dl>
      ${row.runId !== null && html`<p><a href=${report} download>Save the report as one file</a></p>`}
    </section>`;
}

/** What is wrong, and what is waited for, in whole sentences. */
function Notices({ detail: { row, blocker } }: { readonly detail: RunDetail }): unknown {
  const { error, waiting, throttled, heldBy, state } = row;
  const notices: readonly (readonly [kind: string, lead: string, text: string | null])[] = [
    ['bad', 'Error:', error],
    ['warn', 'Waiting for a lock:', blocker],
    ['warn', 'Waiting:', waiting],
    ['warn', 'Held back:', throttled],
    ['', state, heldBy],
    [
      'warn',
      'No host works on it.',
      state === 'interrupted' ? 'Resume it by running umzug-cluster up.' : null,
    ],
    ['', 'Not executed yet.', state === 'pending' && blocker === null ? 'umzug-cluster up runs it.' : null],
  ];
  return notices.map(([kind, lead, text]) =>
    text === null ? '' : html`<div class=${`notice ${kind}`}><p><b>${lead}</b> <bdi>${text}</bdi></p></div>`,
  );
}

interface HostsProps {
  readonly hosts: readonly HostView[];
  readonly names: readonly string[];
  readonly at: number;
}

function Hosts({ hosts, names, at }: HostsProps): unknown {
  const doing = ({ waiting, throttled }: HostView): string =>
    waiting !== null ? `waiting: ${waiting}` : throttled !== null ? `held back: ${throttled}` : 'works';
  const seen = (ms: number): string => (ms < 3_000 ? 'now' : `${duration(ms / 1_000)} ago`);
  return html`
    <${Table} label="Hosts" heads=${['Host', 'Processes', 'Lanes', 'Chunk size', 'What it does', 'Seen']}>
      ${hosts.map(
        (host) => html`
        <tr key=${host.process}>
          <td><i class=${`swatch host-${names.indexOf(host.process) % hostColors}`}></i><bdi>${host.process}</bdi></td>
          <td>${whole(host.workers)}</td>
          <td>${whole(host.lanes)}</td>
          <td>${host.chunkSize === 0 ? unknown : whole(host.chunkSize)}</td>
          <td class="long"><bdi>${doing(host)}</bdi></td>
          <td>${seen(at - host.seenAt)}</td>
        </tr>`,
      )}
    <//>`;
}

interface QuarantinedProps {
  readonly detail: RunDetail;
  readonly rows: readonly QuarantinedView[];
  /** Null: nobody may retry anything here. */
  readonly ask: ((action: PendingAction) => void) | null;
}

function Quarantined({ detail: { row, key: names }, rows, ask }: QuarantinedProps): unknown {
  const heads = [names.length > 0 ? `Key (${names.join(', ')})` : 'Key', 'Error', 'Attempts', 'Last'];
  const retry = (key: readonly string[]): unknown => html`
    <td><button aria-label=${`Retry the row with key ${key.join(', ')}`}
      onClick=${() => ask?.({ action: 'retry', migration: row.name, key })}>Retry…</button></td>`;
  return html`
    <${Table} label="Quarantined rows" heads=${ask === null ? heads : [...heads, 'Retry']}>
      ${rows.map(
        ({ key, error, sqlstate, attempts, at }) => html`
        <tr key=${JSON.stringify(key)}>
          <td class="long"><bdi>${key.join(', ')}</bdi></td>
          <td class="long"><bdi>${error}</bdi>${sqlstate !== null && html` <small>${sqlstate}</small>`}</td>
          <td>${whole(attempts)}</td>
          <td class="number">${moment(at)}</td>
          ${ask !== null && retry(key)}
        </tr>`,
      )}
    <//>
    ${
      rows.length < row.quarantined &&
      html`<p class="told">The first ${whole(rows.length)} of ${whole(row.quarantined)}.</p>`
    }`;
}

function History({ events }: { readonly events: readonly HistoryView[] }): unknown {
  if (events.length === 0) return html`<p class="empty">Nothing has happened yet.</p>`;
  return html`
    <${Table} label="History" heads=${['When', 'What', 'Who', 'Version', 'Commit']}>
      ${events.map(
        ({ at, event, direction, by, version, commit, detail }) => html`
        <tr key=${`${at} ${event} ${detail}`}>
          <td class="number">${moment(at)}</td>
          <td class="long">${event}${direction === 'down' && ' (rollback)'} <small><bdi>${detail}</bdi></small></td>
          <td class="long"><bdi>${by}</bdi></td>
          <td>${version ?? unknown}</td>
          <td title=${commit ?? ''}><code>${commit?.slice(0, 9) ?? unknown}</code></td>
        </tr>`,
      )}
    <//>`;
}

interface TableProps {
  readonly label: string;
  readonly heads: readonly string[];
  readonly children?: unknown;
}

/** A table that scrolls by itself where the screen is too narrow for it. */
function Table({ label, heads, children }: TableProps): unknown {
  return html`
    <div class="wide" role="group" aria-label=${label} tabindex="0">
      <table>
        <thead><tr>${heads.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr></thead>
        <tbody>${children}</tbody>
      </table>
    </div>`;
}

/** What is read out when it changes: nothing that changes with each second. */
export function milestoneOf({ state, fraction, quarantined, name }: MigrationRow): string {
  const tenth = state === 'running' && fraction !== null ? `, ${Math.floor(fraction * 10) * 10} percent` : '';
  return `${name}: ${state}${tenth}${quarantined > 0 ? `, ${counted(quarantined, 'row')} quarantined` : ''}`;
}
