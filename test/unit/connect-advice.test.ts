import { expect, it } from 'vitest';
import { connectAdvice } from '../../src/core/errors/connect-advice.ts';

it.each([
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'self-signed certificate',
    /sslmode=require verifies it in full.*sslrootcert/,
  ],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'Hostname does not match', /sslrootcert/],
  [undefined, 'The server does not support SSL connections', /sslmode=disable/],
  [
    '28000',
    'no pg_hba.conf entry for host "1.2.3.4", user "u", database "d", no encryption',
    /sslmode=require/,
  ],
  ['08P01', 'SSL required', /sslmode=require/],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND h', /check the host name/],
  ['ECONNREFUSED', 'connect ECONNREFUSED', /that the server is running/],
  ['08P01', 'transaction blocks not allowed in statement pooling mode', /pool_mode = transaction/],
  ['28P01', 'password authentication failed', /check DATABASE_URL/],
])('where a connection fails with %s, %s', (code, message, advice) => {
  expect(connectAdvice(code, message)).toMatch(advice);
});
