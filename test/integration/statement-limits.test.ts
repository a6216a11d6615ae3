import { describe, expect, it } from 'vitest';
import type { Logger } from '../../src/logger.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { migrateHere } from '../support/small-run.ts';

/** What the protocol and Postgres take at most, as a chunk of a real run meets it. */

const rows = 400;
const table = `
  create table t (id int primary key, n int not null default 0);
  insert into t (id) select generate_series(1, ${rows});
  analyze t`;

/** Adds 1 to each row, by a statement that has so many bindings for it. */
const binding = (bindingsOf: string): string => `
  export const options = { chunkSize: ${rows + 1} };
  export const select = (db) => db('t').select('id');
  export const update = (db, rows) => {
    const ids = rows.flatMap(({ id }) => Array.from({ length: ${bindingsOf} }, () => id));
    return db.raw('update t set n = n + 1 where id in (' + ids.map(() => '?').join() + ')', ids);
  };`;

interface Outcome {
  /** Null: it ran to its end. */
  readonly error: string | null;
  readonly done: number;
  readonly chunks: number | null;
  readonly quarantined: readonly { readonly key: string; readonly error: string }[];
  /** What was logged of chunks that have fewer rows now. */
  readonly shrunk: readonly (string | undefined)[];
}

async function outcomeOf(source: string): Promise<Outcome> {
  return await withDatabase(async ({ url, client }) => {
    await client.query(table);
    const shrunk: (string | undefined)[] = [];
    const unread = (): void => undefined;
    const logger: Logger = {
      debug: unread,
      info: unread,
      error: unread,
      warn: ({ event }, message) => void (event === 'chunk.shrunk' && shrunk.push(message)),
    };
    const error = await migrateHere(makeProject({ 'a.ts': source }).dir, url, logger).then(
      () => null,
      (thrown: unknown) => String(thrown),
    );
    const { rows: found } = await client.query<Omit<Outcome, 'error' | 'shrunk'>>(
      `select (select sum(n)::int from t) as done, (select sum(chunks)::int from umzug_cluster.ranges) as chunks,
              (select coalesce(json_agg(json_build_object('key', key[1], 'error', error)), '[]')
               from umzug_cluster.quarantine) as quarantined`,
    );
    return { done: -1, chunks: -1, quarantined: [], ...found[0], error, shrunk };
  });
}

describe('a statement with more bindings than the protocol counts', () => {
  it('is not sent: the chunk is halved until it fits, which is logged once, and nothing is quarantined', async () => {
    expect(await outcomeOf(binding('600'))).toMatchObject({
      error: null,
      done: rows,
      quarantined: [],
      shrunk: [
        expect.stringMatching(
          /is tried again with 200 of 400 rows: update: a statement has 240,000 bindings/,
        ),
      ],
    });
  });

  it('is sent with all that the protocol counts', async () => {
    const most = binding('id === 1 ? 65_535 - 399 : 1');
    expect(await outcomeOf(most)).toMatchObject({ error: null, done: rows, chunks: 1, quarantined: [] });
  });

  it('is the fault of a row that has them all by itself, which is set aside with their number', async () => {
    const { error, done, quarantined } = await outcomeOf(binding('id === 133 ? 65_536 : 1'));
    expect(error).toMatch(/1 row is quarantined/);
    expect(done).toBe(rows - 1);
    expect(quarantined).toEqual([
      {
        key: '133',
        error: expect.stringMatching(/^update: a statement has 65,536 bindings.*65,535.*unnest/),
      },
    ]);
  });
});

describe('a statement whose parameters do not go with its text', () => {
  it('stops the run as wrong SQL does, and is no outage', async () => {
    const { error, done, quarantined } = await outcomeOf(`
      export const select = (db) => db('t').select('id');
      export const update = (db) => db.raw('update t set n = 1 where id = $1 or id = $2', []);`);
    expect(error).toMatch(/a, up, range 1: .*bind message supplies 0 parameters/);
    expect({ done, quarantined }).toEqual({ done: 0, quarantined: [] });
  });
});

describe('a statement that is too deep for the stack of the server', () => {
  it('is the fault of its row alone', async () => {
    const { error, done, quarantined } = await outcomeOf(`
      export const select = (db) => db('t').select('id');
      export const update = (db, rows) => {
        const deep = rows.some(({ id }) => id === 7) ? 200_000 : 1;
        const ids = rows.map(({ id }) => id);
        return db.raw('update t set n = n + 1 where id = any (?) and ?::json is not null',
          [ids, '['.repeat(deep) + ']'.repeat(deep)]);
      };`);
    expect(error).toMatch(/1 row is quarantined/);
    expect(done).toBe(rows - 1);
    expect(quarantined).toEqual([{ key: '7', error: expect.stringContaining('stack depth limit') }]);
  });
});

describe('a select of more columns than a result can have', () => {
  it('is refused before anything is written', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(table);
      const source = `
        export const select = (db) => db('t').select('id', ...Array.from({ length: 1_700 }, (_, no) => db.raw('n as n' + no)));
        export const update = (db) => db('t').update({ n: 1 });`;
      await expect(migrateHere(makeProject({ 'a.ts': source }).dir, url)).rejects.toThrow(
        'select exceeds a limit of Postgres: target lists can have at most 1664 entries',
      );
    });
  });
});

describe('a value that is longer than a JavaScript string can be', () => {
  it(
    'is the fault of its row, which is set aside with its size at the second try',
    { timeout: 300_000 },
    async () => {
      await withDatabase(async ({ url, client }) => {
        await client.query(`
        create table t (id int primary key, n int not null default 0, doc bytea);
        insert into t (id) select generate_series(1, ${rows});
        update t set doc = convert_to(repeat('x', 270000000), 'UTF8') where id = 123;
        analyze t`);
        const source = `
        export const select = (db) => db('t').select('id', 'doc');
        export const update = (db, rows) =>
          db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).update({ n: 1 });`;
        const { dir } = makeProject({ 'a.ts': source });
        await expect(migrateHere(dir, url)).rejects.toThrow('1 row is quarantined');
        const { rows: found } = await client.query(
          `select key, attempts, error, (select sum(n)::int from t) as done from umzug_cluster.quarantine`,
        );
        const error = expect.stringMatching(/longer than a JavaScript string.*its row has 540,000,\d+ bytes/);
        expect(found).toEqual([{ key: ['123'], attempts: expect.any(Number), error, done: rows - 1 }]);
      });
    },
  );
});
