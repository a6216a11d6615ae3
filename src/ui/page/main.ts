import { Confirm, Unlock, type PendingAction, post } from './actions.ts';
import { type Feed, useFeed } from './feed.ts';
import { duration, percent } from './format.ts';
import { OverviewPage } from './overview.ts';
import { html, render, useEffect, useState } from './preact.js';
import { RunPage, milestoneOf } from './run.ts';
import { addressOf, useNow, useRoute } from './screen.ts';
import { TargetsPage } from './targets.ts';

// As long as somebody needs to read what became of what they did.
const saidMs = 10_000;

function Page(): unknown {
  const { target, run } = useRoute();
  const { feed, reconnect } = useFeed(target, run);
  const [pending, setPending] = useState<PendingAction | null>(null);
  const [said, setSaid] = useState('');
  const { choice, overview, detail, access, trouble, heardAt } = feed;
  useEffect(() => {
    document.title = titleOf(run, feed);
  }, [run, feed]);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(''), saidMs);
    return () => clearTimeout(timer);
  }, [said]);
  const end = (message: string | null): void => {
    setPending(null);
    if (message !== null) setSaid(message);
  };
  const milestone = run === null || detail === null ? '' : milestoneOf(detail.row);
  return html`
    <${Head} feed=${feed} />
    <main class=${trouble === null ? '' : 'stale'}>
      <${Trouble} feed=${feed} />
      ${said !== '' && html`<div class="notice good"><p>${said}</p></div>`}
      ${access === 'locked' && html`<${Unlock} done=${reconnect} />`}
      ${
        access === 'unknown' &&
        html`<p class="empty">
        There is no migration or run <bdi>${run}</bdi>. <a href=${addressOf(null)}>All migrations</a></p>`
      }
      ${target !== null && html`<nav aria-label="Targets"><a href="#/">All targets</a></nav>`}
      ${access === 'open' && choice !== null && html`<${TargetsPage} choice=${choice} />`}
      ${
        access === 'open' &&
        run === null &&
        overview !== null &&
        heardAt !== null &&
        html`<${OverviewPage} overview=${overview} />`
      }
      ${
        access === 'open' &&
        run !== null &&
        overview !== null &&
        detail !== null &&
        html`<${RunPage} detail=${detail} overview=${overview} ask=${setPending} />`
      }
    </main>
    ${pending !== null && overview !== null && html`<${Confirm} pending=${pending} overview=${overview} end=${end} />`}
    <p class="unseen" role="status">${said || (trouble?.error ?? milestone)}</p>`;
}

// The server tells something once a second.
const freshMs = 3_000;

function Head({ feed }: { readonly feed: Feed }): unknown {
  const { choice, overview, heardAt, trouble, access } = feed;
  const ageMs = useAge(heardAt);
  const isLive = trouble === null && ageMs !== null && ageMs < freshMs;
  return html`
    <header>
      <a class="brand" href="#/">umzug-cluster</a>
      ${
        overview !== null &&
        html`
        <span class="database"><bdi>${overview.database}</bdi></span>
        ${!overview.canWrite && html`<span class="tag">read only</span>`}
        <span class="version">${overview.version}</span>`
      }
      ${choice !== null && html`<span class="version">${choice.version}</span>`}
      ${
        access === 'open' &&
        html`<span class="told">
        ${isLive ? html`<i class="dot live"></i>live` : ageMs === null ? 'connecting…' : ageOf(ageMs)}
      </span>`
      }
    </header>`;
}

/** Why the numbers below are not those of this moment, and how old they are. */
function Trouble({ feed: { trouble, heardAt } }: { readonly feed: Feed }): unknown {
  const ageMs = useAge(heardAt);
  if (trouble === null) return null;
  return html`
    <div class="notice bad">
      <p><b>${trouble.error}</b>${ageMs !== null && ` What is shown is ${ageOf(ageMs)}.`}</p>
      ${trouble.hint !== null && html`<p>${trouble.hint}</p>`}
    </div>`;
}

function useAge(heardAt: number | null): number | null {
  const now = useNow();
  return heardAt === null ? null : Math.max(0, now - heardAt);
}

function ageOf(ms: number): string {
  return `${duration(Math.round(ms / 1_000))} old`;
}

function titleOf(run: string | null, { detail, overview }: Feed): string {
  if (run === null || detail === null)
    return `umzug-cluster${overview === null ? '' : ` · ${overview.database}`}`;
  const { fraction, name, state } = detail.row;
  return `${state === 'running' ? `${percent(fraction)} ` : ''}${name} · ${state}`;
}

/** The URL that the command prints has a token behind the #: it is exchanged for a cookie, and seen no longer. */
async function signInByAddress(): Promise<void> {
  const [, token] = /^#token=([\w-]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return;
  history.replaceState(null, '', '#/');
  await post('api/session', { token });
}

const root = document.getElementById('app');
if (root !== null) {
  addEventListener('hashchange', () => void signInByAddress());
  await signInByAddress();
  root.replaceChildren();
  render(html`<${Page} />`, root);
}
