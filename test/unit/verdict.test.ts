import { describe, expect, it } from 'vitest';
import { judge } from '../../src/core/errors/verdict.ts';

const withCode = (code: string, message = 'x'): string => judge({ code, message, isDatabase: true });
const withMessage = (message: string): string => judge({ message, isDatabase: true });

const transient = [
  '40001',
  '40P01',
  '55P03',
  '57P01',
  '57P02',
  '57P03',
  '25P03',
  '25P04',
  '57P05',
  '25006',
  '53300',
  '08006',
  '08001',
  '08P01',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
];

describe('the verdict on a failed chunk', () => {
  it.each(transient.map((code) => [code]))('is to retry after %s', (code) =>
    expect(withCode(code)).toBe('retry'),
  );

  it.each([
    ['Connection terminated unexpectedly'],
    ['Connection terminated'],
    ['Client has encountered a connection error and is not queryable'],
    ['timeout expired'],
    ['Query read timeout'],
    ['Knex: Timeout acquiring a connection. The pool is probably full.'],
    ['server conn crashed?'],
    ['query_wait_timeout'],
    ['Postgres answered ROLLBACK to COMMIT'],
  ])('is to retry after "%s", which has no code', (message) => expect(withMessage(message)).toBe('retry'));

  it.each([['53100'], ['53200']])('is to retry slowly after %s', (code) =>
    expect(withCode(code)).toBe('retry-slow'),
  );

  it.each([
    ['server conn crashed?'],
    ['query_wait_timeout'],
    ['no more connections allowed (max_client_conn)'],
    ['client_login_timeout (server down)'],
    ['database removed'],
    ['pgbouncer cannot connect to server'],
    ['server login has been failing, try again later (server_login_retry)'],
    ['server login has been failing, cached error: connect failed (server_login_retry)'],
    ['server login failed: FATAL the database system is starting up'],
    ['server login failed: FATAL sorry, too many clients already'],
  ])('is to retry after the 08P01 of PgBouncer: "%s"', (message) =>
    expect(withCode('08P01', message)).toBe('retry'),
  );

  it('is to stop after an 08P01 of Postgres itself, which is about a statement', () => {
    const message = 'bind message supplies 1 parameters, but prepared statement "" requires 2';
    expect(judge({ code: '08P01', message, routine: 'exec_bind_message', isDatabase: true })).toBe('stop');
  });

  it('goes by the code where the message says otherwise', () => {
    expect(withCode('28P01', 'Connection terminated')).toBe('refused');
    expect(withCode('23505', 'timeout expired')).toBe('shrink');
  });

  it('is to shrink after a code that no one has heard of', () => expect(withCode('XX000')).toBe('shrink'));

  it('is to try once more, then smaller, after a statement timeout', () =>
    expect(withCode('57014')).toBe('once-then-shrink'));

  it.each([['22P02'], ['22003'], ['23505'], ['23503'], ['23514'], ['54000'], ['54001']])(
    'is to shrink after %s',
    (code) => expect(withCode(code)).toBe('shrink'),
  );

  it.each([['42P01'], ['42703'], ['42501'], ['3F000'], ['0A000'], ['54011'], ['54023']])(
    'is to stop after %s',
    (code) => expect(withCode(code)).toBe('stop'),
  );

  it.each([['28P01'], ['28000'], ['3D000']])('is that nobody is let in after %s', (code) =>
    expect(withCode(code)).toBe('refused'),
  );

  it.each([
    ['SASL authentication failed'],
    ['password authentication failed'],
    ['password authentication failed for user "app"'],
    ['"trust" authentication failed'],
    ['certificate authentication failed'],
    ['no such user: app'],
    ['no such database: shop'],
    ['database "shop" does not exist'],
    ['role "app" does not exist'],
    ['no pg_hba.conf entry for host "10.0.0.7", user "app", database "shop", no encryption'],
    ['login rejected'],
    ['role "app" is not permitted to log in'],
    ['server login failed: FATAL password authentication failed for user "app"'],
    ['server login failed: wrong password type'],
    ["server login failed: none of the server's SASL authentication mechanisms are supported"],
    ['server login failed: invalid server signature'],
    [
      'server login has been failing, cached error: password authentication failed for user "app" (server_login_retry)',
    ],
    ['SSL required'],
    ['TLS connection required'],
    ['Unsupported startup parameter: options'],
  ])('is that nobody is let in after the 08P01 of PgBouncer: "%s"', (message) =>
    expect(withCode('08P01', message)).toBe('refused'),
  );

  it('goes by the code where author code raises what a login could', () =>
    expect(withCode('P0001', 'role "app" does not exist')).toBe('shrink'));

  it('is to shrink after what author code threw, whatever it says', () => {
    expect(judge({ message: 'timeout expired', isDatabase: false })).toBe('shrink');
  });
});
