import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { groupMembers, killGroup, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** The migrations of docs/query-builders.md, with the real libraries, each killed in the middle and resumed. */

const root = path.join(import.meta.dirname, '..', '..');
const page = readFileSync(path.join(root, 'docs/query-builders.md'), 'utf8');
const migrations = [...page.matchAll(/```ts\n\/\/ migrations\/[\dT.]+\.(\S+)\.ts\n([\s\S]*?)```/g)].map(
  ([, library = '', source = '']) => [library, source] as const,
);

const tables = `
  create table people (id int primary key, score int not null, version int not null);
  insert into people select n, n, 1 from generate_series(1, 400) as n;
  create table writes (id int);
  create function note_write() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.002); insert into writes values (new.id); return null; end $$;
  create trigger note_write after update on people for each row execute function note_write()`;

describe('a migration with', () => {
  it('is shown for each library', () => {
    expect(migrations.map(([library]) => library)).toEqual([
      'drizzle',
      'kysely',
      'objection',
      'typeorm',
      'sequelize',
      'mikro-orm',
      'prisma',
      'pg',
    ]);
  });

  it.each(migrations)('%s writes each row once, though it is killed', async (library, source) => {
    await withDatabase(async ({ url, client }) => {
      await client.query(tables);
      const { dir } = makeProject({ [`${library}.ts`]: source });
      symlinkSync(path.join(root, 'node_modules'), path.join(dir, 'node_modules'));
      const place = { cwd: dir, url };
      const done = async (): Promise<number> => {
        const { rows } = await client.query<{ count: number }>('select count(*)::int as count from writes');
        return rows[0]?.count ?? 0;
      };
      const first = start(['up', '--workers', '1', '--chunk-size', '20'], place);
      await until('rows are migrated', async () => (await done()) > 0);
      killGroup(first.pid);
      await first.outcome;
      await until('the whole process group is gone', () => groupMembers(first.pid).length === 0);
      expect(await done()).toBeLessThan(400);
      const up = await run(['up'], place);
      expect(up.code, up.stderr).toBe(0);
      const { rows } = await client.query(
        `select count(*)::int as writes, count(distinct id)::int as ids,
           (select bool_and(score = id * 3 and version = 2) from people) as tripled from writes`,
      );
      expect(rows).toEqual([{ writes: 400, ids: 400, tripled: true }]);
    });
  });
});
