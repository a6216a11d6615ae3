import { cpSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type pg from 'pg';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

const migrations = path.resolve(import.meta.dirname, '../../migrations');
const fill = '2025.05.18T22.04.03.fill-properties';
const change = '2025.05.18T22.04.04.dated-to-date-given';

/** A digest of every row in every column, in an order that no migration changes. */
async function digest(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select md5(string_agg(to_jsonb(p)::text, '|' order by uuid)) as digest from properties as p`,
  );
  return rows[0]?.digest;
}

async function types(client: pg.Client): Promise<unknown> {
  const { rows } = await client.query(
    `select property_date_type as type, count(*)::int as count from properties group by 1`,
  );
  return Object.fromEntries(rows.map(({ type, count }) => [type, count]));
}

it('goes up, says that nothing is pending, goes back row for row, and up again', async () => {
  await withDatabase(async ({ url, client }) => {
    const { dir: cwd } = makeProject({});
    cpSync(migrations, path.join(cwd, 'migrations'), { recursive: true });
    const cli = (...args: string[]) => run(args, { cwd, url });
    const succeed = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await cli(...args);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    const states = async (): Promise<unknown> => {
      const status = JSON.parse(await succeed('status', '--json')) as { migrations: { state: string }[] };
      return status.migrations.map(({ state }) => state);
    };
    expect(await states()).toEqual(['pending', 'pending', 'pending']);
    expect((await succeed('pending')).trim().split('\n')).toHaveLength(3);

    await succeed('up', '--to', fill);
    const before = await digest(client);
    expect(await types(client)).toMatchObject({ dated: 62_000 });
    expect(await states()).toEqual(['executed', 'executed', 'pending']);

    expect(await succeed('up')).toMatch(new RegExp(`^${change}: 62,000 rows in \\d+ chunks?, `));
    const after = await digest(client);
    expect(await types(client)).not.toHaveProperty('dated');
    expect(await succeed('up')).toBe('nothing is pending\n');

    const status = JSON.parse(await succeed('status', change, '--json')) as { migrations: unknown[] };
    expect(status.migrations).toHaveLength(1);
    expect(status.migrations[0]).toMatchObject({
      name: change,
      kind: 'data',
      state: 'executed',
      rows: { done: 62_000 },
      ranges: { open: 0 },
      error: null,
    });
    expect((await succeed('executed')).trim().split('\n')).toHaveLength(3);

    expect(await succeed('down')).toContain('62,000 rows');
    expect(await digest(client)).toBe(before);
    expect(await states()).toEqual(['executed', 'executed', 'pending']);

    expect(await succeed('up')).toContain('62,000 rows');
    expect(await digest(client)).toBe(after);
    expect(await states()).toEqual(['executed', 'executed', 'executed']);
  });
});
