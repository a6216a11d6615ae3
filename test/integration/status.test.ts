import { expect, it } from 'vitest';
import { openControl } from '../../src/cluster/worker/control.ts';
import { loadConfig } from '../../src/config/config.ts';
import { ensureLedger } from '../../src/ledger/schema.ts';
import { statusReport } from '../../src/migrator/status/status.ts';
import { withTransaction } from '../../src/postgres/transaction.ts';
import { withDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';

/** So many migrations: the first half is executed, of the others one each is failed, cancelled, paused and so on. */
const manyRuns = (count: number): string => `
  insert into umzug_cluster.runs (id, name, direction, state, start_xid, plan, file_sha256, plan_sha256, is_laid_out)
    select i, 'm' || lpad(i::text, 3, '0'), 'up',
           case when i <= ${count / 2} then 'done' else (array['cancelled', 'paused'])[1 + i % 2] end, '1',
           '{"base": {"key": []}, "survey": {"keys": [], "rows": 10}}', '', '', true
    from generate_series(1, ${count}) as i;
  insert into umzug_cluster.controls (run_id) select id from umzug_cluster.runs;
  insert into umzug_cluster.ranges (run_id, no, hi, cursor, state, rows, chunks)
    select id, no, array['9'], array['9'], 'done', no, 1 from umzug_cluster.runs, generate_series(1, 3) as no;
  insert into umzug_cluster.migrations (name, kind, run_id, file_sha256)
    select name, 'data', id, '' from umzug_cluster.runs where state = 'done';`;

/** How many statements a status of so many migrations sends; checks what it says. */
async function statementsFor(count: number): Promise<number> {
  return await withDatabase(async ({ url, client }) => {
    const config = await loadConfig({ flags: {}, cwd: makeProject({}).dir, env: { DATABASE_URL: url } });
    const control = openControl(config);
    const sent: string[] = [];
    await control.use(async (session) => {
      const turn = { waiting: () => undefined, signal: AbortSignal.timeout(60_000) };
      await withTransaction(session, `set local search_path = ''`, () =>
        ensureLedger(session, 'umzug_cluster', turn),
      );
      await client.query(manyRuns(count));
      session.onStatement = (text) => void sent.push(text);
    });
    const { migrations } = await statusReport([], config, control);
    await control.close();
    expect(migrations).toHaveLength(count);
    expect(migrations.map(({ rows, chunks }) => [rows.done, chunks])).toEqual(migrations.map(() => [6, 3]));
    expect(new Set(migrations.map(({ state }) => state))).toContain('missing');
    return sent.length;
  });
}

it('status sends as many statements for 50 migrations as for 2', async () => {
  expect(await statementsFor(50)).toBe(await statementsFor(2));
});
