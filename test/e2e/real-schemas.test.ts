import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/**
 * Schemas as they are found in the wild, with the migrations that such schemas get: run by two hosts at once in
 * small chunks, looked at in SQL, and taken back to the last row.
 */

const fixtures = path.join(import.meta.dirname, '..', 'fixtures');

interface Expectation {
  readonly schema: string;
  /** Rows of each data migration. */
  readonly rows: Readonly<Record<string, number>>;
  /** What should be true afterwards, each a query for one boolean. */
  readonly facts: Readonly<Record<string, string>>;
}

const schemas: readonly Expectation[] = [
  {
    schema: 'shop',
    rows: {
      '02-order-total-backfill': 1200,
      '05-order-lines-customer': 3000,
      '06-order-lines-numbers': 1200,
    },
    facts: {
      'every order has its total': `select bool_and(total is not distinct from (
          select sum(round(unit_price * quantity * (1 - discount)::numeric, 2))
          from order_lines where order_id = orders.id)) from orders`,
      'a total is never null': `select attnotnull from pg_attribute
          where attrelid = 'orders'::regclass and attname = 'total'`,
      'every line has the customer of its order': `select bool_and(line.customer_code is not distinct from orders.customer_code)
          from order_lines as line join orders on orders.id = line.order_id`,
      'lines are numbered from 1, without a gap': `select bool_and(first = 1 and last = lines and numbers = lines)
          from (select min(line_no) as first, max(line_no) as last, count(*) as lines,
                       count(distinct line_no) as numbers from order_lines group by order_id) as orders`,
      'the dearest line comes first': `select bool_and(unit_price >= (
          select max(unit_price) from order_lines as other where other.order_id = line.order_id))
          from order_lines as line where line_no = 1`,
    },
  },
  {
    schema: 'music',
    rows: {
      '02-composers': 1200,
      '03-listener-names': 400,
      '04-track-details': 1500,
      '05-playlist-positions': 1560,
    },
    facts: {
      'each composer is there once': `select count(*) = 31 and count(distinct name) = 31 from composers`,
      'the composers of each track are those of its text': `select bool_and(coalesce(composer, '') = coalesce((
          select string_agg(name, ' / ' order by position(name in composer)) from track_composers
          join composers on composers.id = composer_id where track_id = tracks.id), ''))
          from tracks where composer is null or composer !~ '^(.*) / \\1$'`,
      'names are split and lose nothing': `select bool_and(first_names || ' ' || last_name is not distinct from full_name)
          from listeners`,
      'the JSON has its new form': `select bool_and(jsonb_typeof(details -> 'tags') = 'array'
          and coalesce((details ->> 'seconds')::int, 0) between 120 and 480 and not details ? 'length') from tracks`,
      'positions follow the time of adding': `select bool_and(position is not distinct from wanted) from (
          select position, row_number() over (partition by playlist_id order by added_at, track_id) as wanted
          from playlist_tracks) as lists`,
    },
  },
];

/** A digest of every row of the tables that the schema begins with. */
async function digest(client: pg.Client): Promise<unknown> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select relname as name from pg_class
     where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1`,
  );
  const digests: unknown[] = [];
  for (const { name } of tables) {
    const { rows } = await client.query<{ digest: string }>(
      `select md5(string_agg(t::text, '|' order by t::text)) as digest from ${name} as t`,
    );
    digests.push([name, rows[0]?.digest]);
  }
  return digests;
}

async function isTrue(client: pg.Client, sql: string): Promise<unknown> {
  const { rows } = await client.query<Record<string, unknown>>(sql);
  return Object.values(rows[0] ?? {})[0];
}

describe.each(schemas)('the migrations of the $schema', ({ schema, rows, facts }) => {
  it('go up on two hosts in small chunks, leave nothing behind, and come back row for row', async () => {
    await withDatabase(async ({ url, client }) => {
      await client.query(readFileSync(path.join(fixtures, schema, 'schema.sql'), 'utf8'));
      const before = await digest(client);
      const { dir: cwd } = makeProject({});
      cpSync(path.join(fixtures, schema, 'migrations'), path.join(cwd, 'migrations'), { recursive: true });
      const place = { cwd, url };
      const small = ['--chunk-size', '40', '--workers', '2'];

      const hosts = await Promise.all([run(['up', ...small], place), run(['up', ...small], place)]);
      for (const { code, stderr } of hosts) expect(code, stderr).toBe(0);
      for (const [fact, sql] of Object.entries(facts)) {
        expect([fact, await isTrue(client, sql)]).toEqual([fact, true]);
      }
      const status = await run(['status', '--json'], place);
      const { migrations } = JSON.parse(status.stdout) as {
        migrations: { name: string; kind: string; state: string; rows: { done: number } }[];
      };
      expect(new Set(migrations.map(({ state }) => state))).toEqual(new Set(['executed']));
      const data = migrations.filter(({ kind }) => kind === 'data');
      expect(Object.fromEntries(data.map(({ name, rows: { done } }) => [name, done]))).toEqual(rows);
      const verified = await run(['verify'], place);
      expect(verified.code, verified.stderr).toBe(0);

      const down = await run(['down', '--to', '0', ...small], place);
      expect(down.code, down.stderr).toBe(0);
      expect(await digest(client)).toEqual(before);
    });
  });
});
