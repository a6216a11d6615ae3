import { expect, it } from 'vitest';
import { run } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, makeProject, rowsMigration, setMigration } from '../support/project.ts';

it.each([
  ['rows', rowsMigration()],
  ['sets', setMigration()],
])('writes every row once up and once down, by %s', async (_style, source) => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': source }).dir, url };
    const counts = async (): Promise<unknown> => {
      const { rows } = await client.query(
        `select (select array_agg(distinct n) from counters) as n,
                (select count(*)::int from writes) as writes,
                (select count(distinct id)::int from writes) as ids`,
      );
      return rows[0];
    };
    const up = await run(['up', '--chunk-size', '200'], place);
    expect(up).toMatchObject({ code: 0 });
    expect(up.stdout).toMatch(/^a: 20,000 rows in \d+ chunks/m);
    expect(await counts()).toEqual({ n: [1], writes: counterRows, ids: counterRows });

    await client.query('truncate writes');
    expect(await run(['down', '--chunk-size', '200'], place)).toMatchObject({ code: 0 });
    expect(await counts()).toEqual({ n: [0], writes: counterRows, ids: counterRows });

    await client.query('truncate writes');
    expect(await run(['up'], place)).toMatchObject({ code: 0 });
    expect(await counts()).toEqual({ n: [1], writes: counterRows, ids: counterRows });
  });
});
