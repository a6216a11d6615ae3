import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import type { NotifyTarget } from '../config/notify.ts';
import { codeOf, messageOf } from '../errors.ts';
import type { Notification } from './notification.ts';
import { templates } from './templates.ts';

/** A failed try. `isFinal`: another one would fail as well. */
export interface Refusal {
  readonly error: string;
  readonly isFinal: boolean;
  /** So long the receiver wants to be left alone. */
  readonly waitMs?: number;
}

type Of<Kind extends NotifyTarget['kind']> = Extract<NotifyTarget, { readonly kind: Kind }>;

/** Delivers once; null where the target has accepted it. What it rejects with names no secret. */
export async function deliver(
  target: NotifyTarget,
  notification: Notification,
  signal: AbortSignal,
): Promise<Refusal | null> {
  if (target.kind === 'webhook') return await post(target, notification, signal);
  if (target.kind === 'command') return await start(target, notification, signal);
  await target.call(structuredClone(notification), signal);
  return null;
}

/** Signed as Stripe and GitHub do: HMAC-SHA256 over the seconds since 1970, a dot and the body, in hexadecimal. */
async function post(
  { url, secret, template }: Of<'webhook'>,
  notification: Notification,
  signal: AbortSignal,
): Promise<Refusal | null> {
  const body = JSON.stringify(template === null ? notification : templates[template](notification));
  const seconds = String(Math.floor(Date.now() / 1_000));
  const signature =
    secret === null ? null : createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  const headers = {
    'content-type': 'application/json',
    'user-agent': `umzug-cluster/${notification.by.version}`,
    'x-umzug-cluster-event': notification.event,
    'x-umzug-cluster-id': notification.id,
    'x-umzug-cluster-timestamp': seconds,
    ...(signature === null ? {} : { 'x-umzug-cluster-signature': `sha256=${signature}` }),
  };
  try {
    // Whoever answers with a redirect must not choose where signed events go.
    const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
    await answer.body?.cancel();
    return answer.ok ? null : refused(answer);
  } catch (error) {
    // `fetch failed` alone; what has failed is its cause.
    const { cause } = error as { readonly cause?: unknown };
    return { error: codeOf(cause) ?? messageOf(cause ?? error), isFinal: false };
  }
}

const mayPass: ReadonlySet<number> = new Set([408, 425, 429]);
const mostWaitMs = 60_000;

function refused({ status, headers }: Response): Refusal {
  if (status >= 300 && status < 400) {
    return { error: `answered ${status}: redirects are not followed`, isFinal: true };
  }
  const seconds = Number(headers.get('retry-after') ?? 0);
  const waitMs = Number.isFinite(seconds) ? Math.min(mostWaitMs, seconds * 1_000) : 0;
  return { error: `answered ${status}`, isFinal: status < 500 && !mayPass.has(status), waitMs };
}

/** In a process group of its own: Ctrl-C is not meant for it. */
async function start(
  { argv, cwd, env }: Of<'command'>,
  notification: Notification,
  signal: AbortSignal,
): Promise<Refusal | null> {
  const [program, ...rest] = argv;
  const about = { UMZUG_CLUSTER_EVENT: notification.event, UMZUG_CLUSTER_TEXT: notification.text };
  return await new Promise((resolve) => {
    const stdio = ['pipe', 'ignore', 'ignore'] as const;
    const child = spawn(program, rest, { cwd, env: { ...env, ...about }, stdio: [...stdio], detached: true });
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    };
    signal.addEventListener('abort', kill, { once: true });
    child.on('error', (error) =>
      resolve({ error: codeOf(error) ?? 'it could not be started', isFinal: true }),
    );
    child.on('exit', (code, killedBy) => {
      signal.removeEventListener('abort', kill);
      resolve(code === 0 ? null : { error: `ended with ${killedBy ?? `exit code ${code}`}`, isFinal: false });
    });
    // It need not read what it is told.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(JSON.stringify(notification));
  });
}
