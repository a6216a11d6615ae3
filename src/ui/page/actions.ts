import type { Action, Done, MigrationRow, Overview, Refused } from '../api/contract.ts';
import { html, useEffect, useRef, useState } from './preact.js';
import { apiOf } from './screen.ts';

/** What somebody is about to do, until it is confirmed or not. */
export type PendingAction = Pick<Action, 'action' | 'migration' | 'key'>;

/** What the button says, the question, and what comes of it. */
const wordings: Readonly<Record<Action['action'], readonly [verb: string, title: string, effect: string]>> = {
  pause: [
    'Pause',
    'Pause this migration?',
    'No chunk starts on any host until it is resumed. No work is lost.',
  ],
  resume: [
    'Resume',
    'Resume this migration?',
    'Hosts that run umzug-cluster up work on it. This page starts none.',
  ],
  cancel: [
    'Cancel the migration',
    'Cancel this migration?',
    'Finished work is kept, and it is parked on all hosts until somebody resumes it or rolls it back.',
  ],
  set: [
    'Change settings',
    'Change its settings?',
    'They hold on all hosts, starting with the next chunk. What is left empty stays as it is.',
  ],
  retry: ['Retry', 'Retry all quarantined rows?', 'They are processed by hosts that run umzug-cluster up.'],
};

const steerable = [
  ['pace', 'Pace', 'rows per second across all hosts, or off'],
  ['chunkSize', 'Chunk size', 'rows, off (adapts) or default'],
  ['targetMs', 'Target time', 'milliseconds of a chunk, or default'],
  ['workers', 'Workers', 'processes of each host, or default'],
] as const;

/** What may be asked of a migration as it stands; the server decides. */
function actionsOf({ state, kind, quarantined }: MigrationRow): readonly Action['action'][] {
  const isOpen = ['running', 'interrupted', 'paused', 'failed', 'reverting'].includes(state);
  return [
    ...(['running', 'interrupted', 'reverting'].includes(state) ? (['pause'] as const) : []),
    ...(['paused', 'cancelled', 'reverting'].includes(state) ? (['resume'] as const) : []),
    ...(isOpen && kind !== 'schema' ? (['set'] as const) : []),
    ...(quarantined > 0 ? (['retry'] as const) : []),
    ...(isOpen ? (['cancel'] as const) : []),
  ];
}

/** The buttons of a migration. */
export function Actions({
  row,
  ask,
}: {
  readonly row: MigrationRow;
  readonly ask: (action: PendingAction) => void;
}): unknown {
  const start = (action: Action['action']): void => ask({ action, migration: row.name });
  return html`
    <div class="actions" role="group" aria-label="Actions">
      ${actionsOf(row).map(
        (action) => html`
        <button key=${action} onClick=${() => start(action)}>
          ${action === 'retry' ? 'Retry all quarantined rows' : wordings[action][0]}…</button>`,
      )}
    </div>`;
}

interface ConfirmProps {
  readonly pending: PendingAction;
  readonly overview: Overview;
  /** Ends the dialog; with what the server said, or null where nothing was asked of it. */
  readonly end: (said: string | null) => void;
}

/** Asks whether it is meant, naming migration and database, and says what came of it. */
export function Confirm({ pending, overview, end }: ConfirmProps): unknown {
  const dialog = useRef<HTMLDialogElement | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [isAsking, setIsAsking] = useState(false);
  useEffect(() => {
    dialog.current?.showModal();
    return () => dialog.current?.close();
  }, []);
  const [verb, title, effect] = wordings[pending.action];
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setIsAsking(true);
    const answer = await post(apiOf('actions'), {
      ...pending,
      ...valuesIn(event.target as HTMLFormElement, pending),
    });
    setIsAsking(false);
    if ('error' in answer) setRefused(answer);
    else end(answer.message);
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="asked" onClose=${() => end(null)}>
      <form onSubmit=${(event: SubmitEvent) => void submit(event)}>
        <h2 id="asked">${pending.key === undefined ? title : 'Retry this row?'}</h2>
        <dl class="facts">
          <dt>Migration</dt><dd><bdi>${pending.migration}</bdi></dd>
          <dt>Database</dt><dd><bdi>${overview.database}</bdi></dd>
          ${pending.key !== undefined && html`<dt>Key</dt><dd><bdi>${pending.key.join(', ')}</bdi></dd>`}
        </dl>
        <p>${effect}</p>
        ${
          pending.action === 'set' &&
          html`<div class="fields">
          ${steerable.map(
            ([name, label, hint]) => html`
            <label key=${name}>${label} <small>${hint}</small>
              <input name=${name} autocomplete="off" spellcheck="false" /></label>`,
          )}
        </div>`
        }
        ${refused !== null && html`<${Trouble} refused=${refused} />`}
        <p class="buttons">
          <button type="button" onClick=${() => dialog.current?.close()}>Back</button>
          <button type="submit" class="primary" disabled=${isAsking}>${verb}</button>
        </p>
      </form>
    </dialog>`;
}

function valuesIn(form: HTMLFormElement, { action }: PendingAction): Pick<Action, 'values'> {
  if (action !== 'set') return {};
  const entries = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()] as const);
  return { values: entries.filter(([, value]) => value !== '').map(([name, value]) => `${name}=${value}`) };
}

/** What went wrong, and what to do. */
function Trouble({ refused: { error, hint } }: { readonly refused: Refused }): unknown {
  return html`<div class="notice bad" role="alert"><p>${error}</p>${hint !== null && html`<p>${hint}</p>`}</div>`;
}

/** Sends to the server, which takes nothing that another site could have sent. */
export async function post(to: string, body: unknown): Promise<Done | Refused> {
  try {
    const response = await fetch(to, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-umzug-cluster': '1' },
      body: JSON.stringify(body),
    });
    if (response.status === 204) return { ok: true, message: '' };
    return (await response.json()) as Done | Refused;
  } catch {
    return { error: 'the server does not answer', hint: 'whether it did what you asked is in the history' };
  }
}

/** Asks for the token that the server was given. */
export function Unlock({ done }: { readonly done: () => void }): unknown {
  const [refused, setRefused] = useState<Refused | null>(null);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const token = new FormData(event.target as HTMLFormElement).get('token');
    const answer = await post('api/session', { token });
    if ('error' in answer) setRefused(answer);
    else done();
  };
  return html`
    <form class="unlock panel" onSubmit=${(event: SubmitEvent) => void submit(event)}>
      <h1>This page needs a token</h1>
      <label>Token <small>what umzug-cluster ui was started with</small>
        <input name="token" type="password" required autocomplete="current-password" /></label>
      ${refused !== null && html`<${Trouble} refused=${refused} />`}
      <p class="buttons"><button type="submit" class="primary">Open</button></p>
    </form>`;
}
