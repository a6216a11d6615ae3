import type { Choice, TargetRow } from '../api/contract.ts';
import { whole } from './format.ts';
import { State } from './overview.ts';
import { html, useState } from './preact.js';
import { addressIn } from './screen.ts';

// Those that somebody may have to do something about come first.
const states = [
  'failed',
  'interrupted',
  'paused',
  'cancelled',
  'reverting',
  'running',
  'missing',
  'pending',
  'executed',
] as const;

/** All targets, with how many of their migrations are in which state. */
export function TargetsPage({ choice }: { readonly choice: Choice }): unknown {
  const [text, setText] = useState('');
  const wanted = text.trim().toLowerCase();
  const shown = choice.targets.filter(({ name }) => name.toLowerCase().includes(wanted));
  return html`
    <section aria-labelledby="targets">
      <div class="titled">
        <h1 id="targets">Targets</h1>
        <span>${whole(choice.targets.length)}</span>
        <input type="search" aria-label="Filter by name" placeholder="Filter by name" value=${text}
          onInput=${(event: Event) => setText((event.target as HTMLInputElement).value)} />
      </div>
      ${
        shown.length === 0
          ? html`<p class="empty">No target matches the filter.</p>`
          : html`<ul class="list targets">${shown.map((row) => html`<${Row} key=${row.databaseId} row=${row} />`)}</ul>`
      }
    </section>`;
}

function Row({
  row: { name, databaseId, database, states: found, error },
}: {
  readonly row: TargetRow;
}): unknown {
  return html`
    <li>
      <span class="named">
        <a href=${addressIn(databaseId, null)}><bdi>${name}</bdi></a>
        ${error === null ? html`<small>${database}</small>` : html`<small class="bad" title=${error}>${error}</small>`}
      </span>
      ${states.map((state) => {
        const count = found?.[state] ?? 0;
        return (
          count > 0 && html`<span key=${state}><${State} state=${state} /> <b>${whole(count)}</b></span>`
        );
      })}
    </li>`;
}
