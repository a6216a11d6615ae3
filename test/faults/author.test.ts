import { describe, expect, it } from 'vitest';
import type { Outcome } from '../support/cli.ts';
import { type Done, marked, rows, tryMigration, withMistake } from '../support/mistakes.ts';

/** Exit code 1, one message with what is wrong and how to mend it; chunks are whole, the marked one undone. */
function expectRefused({ code, stdout, stderr }: Outcome, done: Done, message: RegExp, hint: RegExp): void {
  expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: '' });
  expect(stderr.match(/^error: /gm), stderr).toHaveLength(1);
  expect(stderr).toMatch(new RegExp(`^error: a\\b.*${message.source}`, 'm'));
  expect(stderr.split(/^ +hint: /m)[1], stderr).toMatch(hint);
  expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(done.mark, stderr).toBe(0);
  expect(done.most).toBeLessThanOrEqual(1);
  expect(done.sum).toBe(done.recorded);
}

const endHint = /throw an error to roll/;
const awaitHint = /await/;

describe('nothing of its chunk is committed where update', () => {
  it.each<[what: string, code: string, message: RegExp, hint: RegExp]>([
    ['calls commit', 'await db.commit();', /db\.commit must not be used/, endHint],
    ['calls rollback', 'await db.rollback();', /db\.rollback must not be used/, endHint],
    ['calls destroy', 'await db.destroy();', /db\.destroy must not be used/, endHint],
    ['calls commit and hides it', 'try { await db.commit(); } catch {}', /db\.commit must not/, endHint],
    ['runs COMMIT', `await db.raw('COMMIT');`, /must not run COMMIT/, endHint],
    ['runs commit in comments', `await db.raw('/* a /* b */ */ -- c\\n ;commit -- d');`, /COMMIT/, endHint],
    ['runs rollback', `await db.raw('rollback').catch(() => 0);`, /must not run ROLLBACK/, endHint],
    ['runs ROLLBACK AND CHAIN', `await db.raw('ROLLBACK AND CHAIN');`, /ROLLBACK/, endHint],
    ['runs abort', `await db.raw('abort');`, /must not run ABORT/, endHint],
    ['runs END', `await db.raw('END');`, /must not run END/, endHint],
    ['prepares the transaction', `await db.raw("prepare transaction 'x'");`, /PREPARE TRANS/, endHint],
    [
      'hides COMMIT behind another',
      `await db.raw('select 1; commit; begin');`,
      /must not run COMMIT/,
      /throw an error/,
    ],
    ['runs COMMIT in a DO block', `await db.raw('do $$ begin commit; end $$');`, /ended the trans/, endHint],
    ['runs ROLLBACK in a procedure', `await db.raw('call ends()');`, /ended the transaction/, endHint],
    [
      'swallows a SQL error',
      `await db.raw('select 1/0').catch(() => 0);`,
      /caught a SQL error/,
      /do not catch the err/,
    ],
    ['forgets a statement', `db('t').update({ n: 9 });`, /update statement and never ran/, awaitHint],
    ['forgets a raw one', `db.raw('update t set n = 9');`, /update statement and never ran/, awaitHint],
    ['does not await', `db('t').update({ n: 9 }).then(() => 0);`, /still running/, /Promise\.all/],
    [
      'awaits nothing in forEach',
      `rows.forEach(async ({ id }) => { await db('t').where({ id }).update({ n: 9 }); });`,
      /still running/,
      /forEach/,
    ],
    [
      'leaves a rejection behind',
      `void (async () => { throw new Error('lost'); })(); await db.raw('select pg_sleep(0.1)');`,
      /nothing awaited: lost/,
      /await or return every promise/,
    ],
    [
      'throws in a timer',
      `setTimeout(() => { throw new Error('lost'); }); await db.raw('select pg_sleep(0.1)');`,
      /nothing awaited: lost/,
      /timers/,
    ],
    ['leaves a savepoint open', `await db.transaction();`, /left a transaction .* open/, /commit or roll/],
    [
      'moves its keys',
      `await db('t').update({ id: db.raw('id + 1000') });`,
      /moved or deleted/,
      /allowDelete/,
    ],
    [
      'deletes its rows unannounced',
      `await db('t').where('id', ${marked}).del();`,
      /deleted 1 /,
      /allowDelete/,
    ],
    [
      'makes its transaction read-only',
      `await db.raw('set local transaction_read_only to on');`,
      /read-only/,
      /do not change transaction_read_only/,
    ],
    ['changes the session', `await db.raw('set search_path to x');`, /must not run SET/, /SET LOCAL/],
    [
      'takes the commit guard away',
      `await db.raw('delete from umzug_cluster.guard_open');`,
      /ended the transaction of its chunk/,
      endHint,
    ],
  ])('%s', async (_what, code, message, hint) => {
    await tryMigration(withMistake(code), (outcome, done) => expectRefused(outcome, done, message, hint));
  });

  it('runs nothing at all', async () => {
    const source = withMistake('')
      .replace('await add', 'add')
      .replace(/if .* return;/, '');
    await tryMigration(source, (outcome, done) =>
      expectRefused(outcome, done, /ran no statement on db/, /return the query/),
    );
  });

  it('gets rows that a join multiplies', async () => {
    const join = `db('t').join('t as u', db.raw('u.id in (t.id, 1)')).select('t.id')`;
    const source = withMistake('').replace(`db('t').select('id')`, join);
    await tryMigration(source, (outcome, done) => {
      expectRefused(outcome, done, /select returns some rows more than once/, /whereExists/);
      expect(outcome.stderr).toMatch(/key \["\d+"\] came 2 times/);
      expect(done.sum).toBe(0);
    });
  });

  it('goes on after it has returned: what comes late is not run, and the run stops', async () => {
    const late = `setTimeout(() => db('t').update({ n: 9 }).catch(() => 0), 50);`;
    const source = withMistake(late).replace('await add', `await db.raw('select pg_sleep(0.1)'); await add`);
    await tryMigration(source, ({ code, stderr }, done) => {
      expect(code, stderr).toBe(1);
      expect(stderr).toMatch(
        /^error: a: db was used after update had returned; that statement was not run$/m,
      );
      expect(stderr).toMatch(/hint: await everything, including timers and events/);
      expect(done.most).toBe(1);
      expect(done.sum).toBe(done.recorded);
    });
  });
});

describe('all is done where update', () => {
  it.each([
    [
      'handles a failed savepoint',
      `await db.transaction((trx) => trx.raw('select 1/0')).catch(() => 0);
       await db.transaction((trx) => trx('t').update({ n: 9 }).then(() => { throw 1; })).catch(() => 0);`,
    ],
    [
      'runs savepoints side by side, of which one fails',
      `const plus = (by) => db.transaction((trx) => trx.raw('update t set n = n + ? where id = ${marked}', [by]));
       await Promise.allSettled([plus(1), db.transaction((trx) => trx.raw('select 1/0')), plus(-1)]);`,
    ],
    [
      'undoes to a savepoint of its own',
      `for (const sql of ['savepoint a', 'update t set n = 9', 'rollback to a']) await db.raw(sql);`,
    ],
    [
      'builds a query it does not need',
      `db('t').where('id', 1); db.raw('now()'); void db('t').update({ n: 1 }).toSQL();`,
    ],
    ['empties the list of its rows', `while (rows.length > 0) rows.pop();`],
    ['adds to the list of its rows, and changes them', `rows.push({ id: 1 }); rows[0].id = 299;`],
    ['returns what is no promise', `return { rows: [], then: 5 };`],
    ['uses statements in a CTE', `await db.with('x', db('t').where('id', 0).del()).select(db.raw('1'));`],
  ])('%s', async (_what, code) => {
    await tryMigration(withMistake(code), ({ code: exit, stderr }, done) => {
      expect(exit, stderr).toBe(0);
      expect(done).toEqual({ mark: 1, sum: rows, most: 1, recorded: rows });
    });
  });

  it('deletes its rows, as announced', async () => {
    const remove = `await db('t').whereRaw('id = any (?)', [rows.map(({ id }) => id)]).del();`;
    await tryMigration(
      withMistake(remove, '{ allowDelete: true }'),
      async ({ code, stderr }, done, client) => {
        expect(code, stderr).toBe(0);
        const left = (await client.query('select id from t')).rowCount ?? 0;
        expect({ mark: done.mark, sum: done.sum, recorded: done.recorded }).toEqual({
          mark: null,
          sum: left,
          recorded: rows,
        });
        expect(left).toBeLessThan(rows);
      },
    );
  });
});

describe('the row is set aside, all others are done, where update throws', () => {
  it.each([
    ['a text', `'no way'`, /update threw a non-Error: "no way"/],
    ['undefined', 'undefined', /update threw a non-Error: undefined/],
    ['null', 'null', /update threw a non-Error: null/],
    ['a frozen object', `Object.freeze({ message: 'cold', secret: 1 })`, /an object that says "cold"/],
    ['a frozen error', `Object.freeze(new Error('cold'))`, /row 130: cold/],
    ['a trap', `{ get message() { throw 1; }, get code() { throw 2; } }`, /throws where it is looked at/],
    [
      'an error that is a trap',
      `Object.defineProperties(new Error('x'), { code: { get() { throw 1; } }, stack: { get() { throw 2; } } })`,
      /row 130: x/,
    ],
    [
      'an error like one of the database',
      `Object.assign(new Error('deadlock'), { code: '40P01' })`,
      /row 130: deadlock/,
    ],
  ])('%s', async (_what, value, message) => {
    await tryMigration(withMistake(`throw ${value};`), ({ code, stderr }, done) => {
      expect(code, stderr).toBe(1);
      expect(stderr).toMatch(/^error: a, up: 1 row is quarantined/m);
      expect(stderr).toMatch(new RegExp(`^ {2}row ${marked}: `, 'm'));
      expect(stderr).toMatch(message);
      expect(done).toEqual({ mark: 0, sum: rows - 1, most: 1, recorded: rows - 1 });
    });
  });
});
