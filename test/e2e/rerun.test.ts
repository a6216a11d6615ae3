import { expect, it } from 'vitest';
import { killGroup, rowsDone, run, start, until } from '../support/cli.ts';
import { withDatabase } from '../support/database.ts';
import { counterRows, createCounters, hurry, makeProject, rowsMigration } from '../support/project.ts';

it('a migration that is run once more and dies is begun, and `up` goes on with it', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const files = { '1-a.ts': rowsMigration(0.3), '2-b.ts': `export const up = (db) => db.raw('select 1');` };
    const place = { cwd: makeProject(files).dir, url };
    hurry(place.cwd);
    expect(await run(['up'], place)).toMatchObject({ code: 0 });
    const slow = { cwd: makeProject(files).dir, url };
    const again = start(['up', '--name', '1-a', '--rerun', 'ALLOW', '--chunk-size', '100'], slow);
    await until(
      'a chunk of the second run is committed',
      async () => (await rowsDone(client)) % counterRows > 0,
    );
    killGroup(again.pid);
    await again.outcome;
    const state = async (): Promise<unknown> => {
      const { stdout } = await run(['status', '1-a', '--json'], place);
      return (JSON.parse(stdout) as { migrations: { state: string }[] }).migrations[0]?.state;
    };
    expect(['running', 'interrupted']).toContain(await state());
    expect((await run(['pending'], place)).stdout).toBe('1-a\n');
    expect(await run(['pause', '1-a'], place)).toMatchObject({ code: 0 });
    expect(await state()).toBe('paused');
    expect(await run(['resume', '1-a'], place)).toMatchObject({ code: 0 });
    expect(await state()).toBe('executed');
    const { rows } = await client.query('select n, count(*)::int as rows from counters group by n');
    expect(rows).toEqual([{ n: 2, rows: counterRows }]);
  });
});

it('`down` takes back a migration as often as it was run, also where it is interrupted in between', async () => {
  await withDatabase(async ({ url, client }) => {
    await client.query(createCounters);
    const place = { cwd: makeProject({ 'a.ts': rowsMigration() }).dir, url };
    const left = async (): Promise<unknown> =>
      (await client.query('select n, count(*)::int as rows from counters group by n')).rows;
    const twice = async (): Promise<void> => {
      expect(await run(['up'], place)).toMatchObject({ code: 0 });
      expect(await run(['up', '--name', 'a', '--rerun', 'ALLOW'], place)).toMatchObject({ code: 0 });
      expect(await left()).toEqual([{ n: 2, rows: counterRows }]);
    };
    await twice();
    const down = await run(['down', '--json'], place);
    expect(down.code, down.stderr).toBe(0);
    expect(await left()).toEqual([{ n: 0, rows: counterRows }]);
    expect((await run(['pending'], place)).stdout).toBe('a\n');

    await twice();
    // Ends the command when the first of the two ways back is recorded.
    await client.query(`
      create function stop() returns trigger language plpgsql as $$ begin
        if (select count(*) from umzug_cluster.runs where state = 'reverted') = 3 then raise exception 'no further'; end if;
        return new;
      end $$;
      create trigger stop before insert on umzug_cluster.runs for each row execute function stop()`);
    expect(await run(['down'], place)).not.toMatchObject({ code: 0 });
    await client.query('drop trigger stop on umzug_cluster.runs');
    expect(await left()).toEqual([{ n: 1, rows: counterRows }]);
    expect((await run(['executed'], place)).stdout, 'it is executed still, once').toBe('a\n');
    expect(await run(['down'], place)).toMatchObject({ code: 0 });
    expect(await left()).toEqual([{ n: 0, rows: counterRows }]);
  });
});
