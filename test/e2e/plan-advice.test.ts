import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { onServer, withDatabase } from '../support/database.ts';
import { plansOf } from '../support/planned.ts';
import { makeProject } from '../support/project.ts';

/** Three rows a page, so that few of them fill more than the 128 MB of `shared_buffers`. */
const rows = 54_000;

const createTable = `
  create table t (id uuid primary key default gen_random_uuid(), n int not null unique, version int, pad text not null)
    with (fillfactor = 20);
  insert into t (n, pad) select i, repeat('x', 400) from generate_series(1, ${rows}) as i;
  analyze t`;

interface Parts {
  readonly options?: string;
  readonly where?: string;
  readonly set?: string;
}

const migration = ({ options = '{}', where = `whereNull('version')`, set = 'version: 1' }: Parts): string => `
  export const options = ${options};
  export const select = (db) => db('t').select('id').${where};
  export const update = (db, rows) =>
    db('t').whereIn('id', rows.map(({ id }) => id)).update({ ${set} });`;

it('advises physical order where it would pay, with the reason, and nowhere else', async () => {
  await withDatabase(async ({ url, client, name }) => {
    await client.query(createTable);
    const cacheOf = async (size: string): Promise<unknown> =>
      await onServer(`alter database ${name} set effective_cache_size = '${size}'`);
    await cacheOf('64MB');
    const files = {
      '1-scattered.ts': migration({}),
      '2-in-order.ts': migration({ options: `{ key: ['n'] }` }),
      '3-undrained.ts': migration({ set: 'pad: 1' }),
      '4-few.ts': migration({ where: `whereNull('version').where('n', '<', 1000)` }),
      '5-physical.ts': migration({ options: `{ order: 'physical' }` }),
      '6-joined.ts': migration({ where: `whereNull('version').whereIn('n', db('t').select('n'))` }),
    };
    const place = { cwd: makeProject(files).dir, url };
    const planned = await run(['plan', '--json'], place);
    expect(planned.code, planned.stderr).toBe(0);
    const [scattered, ...others] = plansOf(planned.stdout);
    expect(scattered?.['advice']).toEqual([
      expect.stringMatching(
        /^options\.order = 'physical' would be faster: "t" \(1\d\d MB\) is larger than the server's cache \(shared_buffers \d+ MB, effective_cache_size \d+ MB\), .* "id" \(correlation -?0\.\d\d\), and about 3 rows of each page/,
      ),
    ]);
    expect(others.map(({ advice }) => advice)).toEqual(others.map(() => []));
    const text = await run(['plan', '1-scattered'], place);
    expect(text.stdout).toMatch(/^ {2}advice {5}options\.order = 'physical' would be faster: /m);
    await cacheOf('4GB');
    const cached = await run(['plan', '--json', '1-scattered'], place);
    expect(plansOf(cached.stdout)[0]?.['advice']).toEqual([]);
  });
});
