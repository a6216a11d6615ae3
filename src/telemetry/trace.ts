import type { Attributes, Context, Span } from '@opentelemetry/api';
import { thisProcess } from '../config/this-process.ts';
import { redact } from '../core/errors/redact.ts';
import { UmzugClusterError, codeOf, isStop, messageOf } from '../errors.ts';

type Api = typeof import('@opentelemetry/api');

/** What is above a span, as it crosses between processes: headers of the propagator that the SDK has chosen. */
export type Carrier = Record<string, string>;

/** A span in hand. */
export interface InSpan {
  /** For spans below it. */
  readonly trace: Trace;
  set(attributes: Attributes): void;
  event(name: string, attributes: Attributes): void;
  failed(error: unknown): void;
}

// Where the API keeps what an SDK has registered, since two copies of it may be loaded. Loading it takes 30 ms.
const registered = Symbol.for('opentelemetry.js.api.1');

/** Whether the process has an SDK that listens. */
function isTraced(): boolean {
  const api = (globalThis as unknown as Record<symbol, { readonly trace?: unknown } | undefined>)[registered];
  return api?.trace !== undefined;
}

/**
 * Where traces of this process begin: below what is under way in the application, or what a carrier says. Null where
 * nobody listens; then the API is not loaded.
 */
export async function openTrace(carrier?: Carrier): Promise<Trace | null> {
  if (!isTraced()) return null;
  const api = await import('@opentelemetry/api');
  const { context, propagation } = api;
  const above = context.active();
  return new Trace(api, carrier === undefined ? above : propagation.extract(above, carrier));
}

// Whoever waits for the end of a command, waits for this too.
const flushMs = 1_000;

/** Has the SDK send what it has, for at most so long: the process is about to end. Never rejects. */
export async function flushTraces(ms = flushMs): Promise<void> {
  if (!isTraced()) return;
  const { trace } = await import('@opentelemetry/api');
  const provider = trace.getTracerProvider() as unknown as Flushable & { getDelegate?: () => Flushable };
  const flushed = (provider.getDelegate?.() ?? provider).forceFlush?.().catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([flushed, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

interface Flushable {
  readonly forceFlush?: () => Promise<void>;
}

/** A place in a trace, below which spans are made. */
export class Trace {
  readonly #api: Api;
  readonly #above: Context;

  constructor(api: Api, above: Context) {
    this.#api = api;
    this.#above = above;
  }

  /** What another process needs to continue here. */
  get carrier(): Carrier {
    const carrier: Carrier = {};
    this.#api.propagation.inject(this.#above, carrier);
    return carrier;
  }

  /** Does `work` in a span, which is the active one for what author code traces; what it rejects with is recorded. */
  async span<T>(name: string, attributes: Attributes, work: (span: InSpan) => Promise<T>): Promise<T> {
    const { context, trace } = this.#api;
    const tracer = trace.getTracer('umzug-cluster', thisProcess().version);
    const span = tracer.startSpan(name, { attributes: named(attributes) }, this.#above);
    const below = trace.setSpan(this.#above, span);
    const inSpan: InSpan = {
      trace: new Trace(this.#api, below),
      set: (more) => void span.setAttributes(named(more)),
      event: (event, more) => void span.addEvent(event, named(more)),
      failed: (error) => this.#fail(span, error),
    };
    try {
      return await context.with(below, () => work(inSpan));
    } catch (error) {
      this.#fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  /** Its message only: a stack repeats it, and the detail of the server has values of the row. */
  #fail(span: Span, error: unknown): void {
    if (error instanceof UmzugClusterError && isStop(error.code)) {
      span.setAttributes(named({ outcome: 'stopped' }));
      return;
    }
    const message = redact(messageOf(error));
    const code = codeOf(error) ?? (error as { readonly code?: string } | null)?.code;
    const name = error instanceof Error ? error.name : 'Error';
    span.recordException({ name, message, ...(code === undefined ? {} : { code }) });
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message });
  }
}

/** Does `work` in a span where somebody listens, and otherwise just so. */
export async function traced<T>(
  trace: Trace | null,
  name: string,
  attributes: Attributes,
  work: (span: InSpan | null) => Promise<T>,
): Promise<T> {
  return trace === null ? await work(null) : await trace.span(name, attributes, work);
}

function named(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [`umzug_cluster.${name}`, value]),
  );
}
