import { expect, it } from 'vitest';
import { Control } from '../../src/cluster/worker/control.ts';
import { withDatabase } from '../support/database.ts';

it('tries a statement that was cancelled once more, and then says so: it is no bug', async () => {
  await withDatabase(async ({ url }) => {
    const options = { connection: url, connectTimeoutMs: 5_000, answerTimeoutMs: 0 };
    const control = new Control(options, 60_000, 'shop');
    let tries = 0;
    const work = control.use(async (session) => {
      tries += 1;
      await session.query('set statement_timeout = 20');
      await session.query('select pg_catalog.pg_sleep(60)');
    });
    await expect(work).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: 'a statement was cancelled twice: canceling statement due to statement timeout',
      hint: expect.stringContaining('statementTimeoutMs'),
    });
    expect(tries).toBe(2);
    await control.close();
  });
});
