import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Context, ROOT_CONTEXT, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { createMigrator } from '../../src/application.ts';
import { fail } from '../../src/errors.ts';
import { openTrace } from '../../src/telemetry/trace.ts';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const exporter = new InMemorySpanExporter();

/** What an SDK registers, with the context of Node's own async functions. */
function listen(): void {
  const storage = new AsyncLocalStorage<Context>();
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (below, work, self, ...args) => storage.run(below, () => work.apply(self as never, args)),
    bind: (_below, target) => target,
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  });
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
}

function deaf(): void {
  for (const api of [trace, context, propagation]) api.disable();
}

beforeEach(() => {
  deaf();
  exporter.reset();
});
afterAll(deaf);

const named = (name: string): readonly ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);
const parentOf = (span: ReadableSpan | undefined): string | undefined => span?.parentSpanContext?.spanId;
const idOf = (span: ReadableSpan | undefined): string | undefined => span?.spanContext().spanId;

/** Runs a migration of thirty rows in chunks of ten, in this process; what became of it. */
async function migrate(update: string): Promise<unknown> {
  return await withDatabase(async ({ client, url }) => {
    await client.query(`create table t (id int primary key, n int unique, secret text);
      insert into t select i, -i, 'hidden ' || i from generate_series(1, 30) as i; analyze t`);
    const { dir } = makeProject({
      'a.mjs': `
        export const options = { chunkSize: 10 };
        export const select = (db) => db('t').select('id', 'secret');
        export const update = async (db, rows) => { ${update} };`,
    });
    const migrator = await createMigrator({ cwd: dir, databaseUrl: url, workers: 1 });
    try {
      return await migrator.up().catch((error: unknown) => error);
    } finally {
      await migrator.close();
    }
  });
}

const each = `await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: db.raw('n + 1000') });`;

it('a run has a span, with one for each pass and each chunk below it, and counts what they did', async () => {
  listen();
  await migrate(each);
  const [whole, ...otherRuns] = named('migration.run');
  const [pass, ...otherPasses] = named('migration.pass');
  expect([otherRuns, otherPasses]).toEqual([[], []]);
  expect(whole?.attributes).toMatchObject({
    'umzug_cluster.migration': 'a',
    'umzug_cluster.direction': 'up',
    'umzug_cluster.rows': 30,
    'umzug_cluster.retries': 0,
  });
  expect(parentOf(pass)).toBe(idOf(whole));
  const chunks = named('migration.chunk');
  expect(chunks.map(parentOf)).toEqual(chunks.map(() => idOf(pass)));
  const rows = chunks.map(({ attributes }) => Number(attributes['umzug_cluster.rows'] ?? 0));
  expect(rows.reduce((sum, one) => sum + one, 0)).toBe(30);
  expect(chunks[0]?.attributes).toMatchObject({
    'umzug_cluster.outcome': 'advanced',
    'umzug_cluster.rows': 10,
    'umzug_cluster.size': 10,
    'umzug_cluster.retries': 0,
    'umzug_cluster.wait_ms': expect.any(Number) as number,
  });
});

it('what update traces is below its chunk, and a run below what the application is doing', async () => {
  listen();
  const tracer = trace.getTracer('application');
  const own = (): void => tracer.startSpan('of the author').end();
  Object.assign(globalThis, { traceTest: own });
  await tracer.startActiveSpan('boot', async (boot) => {
    await migrate(`globalThis.traceTest(); ${each}`);
    boot.end();
  });
  expect(named('migration.run').map(parentOf)).toEqual(named('boot').map(idOf));
  const chunks = named('migration.chunk').map(idOf);
  expect(named('of the author')).toHaveLength(3);
  for (const span of named('of the author')) expect(chunks).toContain(parentOf(span));
});

it('errors are recorded, without values of rows', async () => {
  listen();
  // A unique violation, whose detail names the value; and a text that is no number, which its message does.
  await migrate(`await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({
    n: db.raw("case when id = 7 then secret::int else -id end") });`);
  const failed = named('migration.chunk').filter(({ status }) => status.code === SpanStatusCode.ERROR);
  expect(failed.length).toBeGreaterThan(0);
  expect(failed[0]?.events[0]).toMatchObject({
    name: 'exception',
    attributes: { 'exception.type': '22P02' },
  });
  expect(named('migration.run')[0]?.status).toMatchObject({ code: SpanStatusCode.ERROR });
  const all = exporter
    .getFinishedSpans()
    .map(({ attributes, events, status }) => ({ attributes, events, status }));
  expect(JSON.stringify(all)).not.toContain('hidden');
});

it('a run that is stopped by hand has not failed', async () => {
  listen();
  const below = await openTrace();
  const stop = below?.span('work', {}, () => Promise.reject(fail('INTERRUPTED', { message: 'stopped' })));
  await expect(stop).rejects.toThrow('stopped');
  const [work] = named('work');
  expect([work?.status.code, work?.attributes]).toEqual([0, { 'umzug_cluster.outcome': 'stopped' }]);
});

it('a worker continues the trace of its primary by what it is sent', async () => {
  listen();
  let carrier = {};
  await (
    await openTrace()
  )?.span('pass', {}, async (span) => {
    carrier = structuredClone(span.trace.carrier);
    return await Promise.resolve();
  });
  await (await openTrace(carrier))?.span('chunk', {}, () => Promise.resolve());
  expect(named('chunk').map(parentOf)).toEqual(named('pass').map(idOf));
  expect(named('chunk')[0]?.spanContext().traceId).toBe(named('pass')[0]?.spanContext().traceId);
});

it('where nobody listens there is no trace, and no span', async () => {
  expect(await openTrace()).toBeNull();
  expect(await migrate(each)).toMatchObject([{ rows: 30 }]);
  listen();
  expect(exporter.getFinishedSpans()).toEqual([]);
});

it('the example of the documentation traces a command', async () => {
  const shown = readFileSync(path.join(import.meta.dirname, '../../docs/tracing.md'), 'utf8');
  const [, example = ''] = /```js\n([\s\S]*?)```/.exec(shown) ?? [];
  const [, options = ''] = /NODE_OPTIONS='(.*?)'/.exec(shown) ?? [];
  await withDatabase(async ({ client, url }) => {
    await client.query(
      'create table t (id int primary key, n int); insert into t select generate_series(1, 30)',
    );
    const { dir } = makeProject({
      'a.mjs': `export const select = (db) => db('t').select('id'); export const update = async (db, rows) => { ${each} };`,
    });
    writeFileSync(path.join(dir, 'tracing.mjs'), example);
    symlinkSync(path.join(import.meta.dirname, '../../node_modules'), path.join(dir, 'node_modules'));
    const { code, stdout } = await run(['up'], { cwd: dir, url, env: { NODE_OPTIONS: options } });
    expect(code).toBe(0);
    for (const span of ['run', 'pass', 'chunk']) expect(stdout).toContain(`name: 'migration.${span}'`);
  });
});
