import { type BadInput, itAnswers, secret } from '../support/bad-input.ts';

const variable = (name: string, value: string, says: BadInput['says']): BadInput => ({
  what: `${name}=${value}`,
  env: { [name]: value },
  says,
});
const url = (text: string, says: BadInput['says'], more: Partial<BadInput> = {}): BadInput => ({
  what: `DATABASE_URL=${text}`,
  url: text,
  files: { 'migrations/a.ts': '' },
  says,
  ...more,
});

itAnswers([
  variable('UMZUG_CLUSTER_WORKERS', '0', /UMZUG_CLUSTER_WORKERS must be a whole number from 1 to 256/),
  variable('UMZUG_CLUSTER_WORKERS', 'NaN', /UMZUG_CLUSTER_WORKERS must be a whole number/),
  variable('UMZUG_CLUSTER_CHUNK_SIZE', '1e3', /UMZUG_CLUSTER_CHUNK_SIZE must be a whole number/),
  variable('UMZUG_CLUSTER_GRACE', '20', /UMZUG_CLUSTER_GRACE must be a duration[^]*1h30m/),
  variable('UMZUG_CLUSTER_WAIT_FOR_OLD_TRANSACTIONS', 'maybe', /must be true or false: got "maybe"/),
  variable(
    'UMZUG_CLUSTER_CHUNKSIZE',
    '5',
    /unknown variable "UMZUG_CLUSTER_CHUNKSIZE", did you mean "UMZUG_CLUSTER_CHUNK_SIZE"\?/,
  ),
  variable(
    'UMZUG_CLUSTER_ANYTHING',
    '5',
    /unknown variable "UMZUG_CLUSTER_ANYTHING"[^]*UMZUG_CLUSTER_MAX_TIME/,
  ),
  variable('UMZUG_CLUSTER_LOG_LEVEL', 'loud', /UMZUG_CLUSTER_LOG_LEVEL must be one of debug, .*: got "loud"/),
  variable('UMZUG_CLUSTER_JSON', 'yes', /UMZUG_CLUSTER_JSON must be true or false: got "yes"/),
  variable('PGPORT', 'abc', /PGPORT must be a whole number from 1 to 65535: got "abc"/),
  {
    what: 'none where a database must be configured',
    says: [/no database is configured/, /set DATABASE_URL, or connection in knexfile\.ts/],
  },
  { what: 'DATABASE_URL of blanks', url: '  ', says: /DATABASE_URL/ },
  url(`mysql://u:${secret}@h/d`, /DATABASE_URL is a mysql:\/\/ URL/),
  url(`https://u:${secret}@h/d`, /DATABASE_URL is a https:\/\/ URL/),
  url(`jdbc:postgresql://h/d?password=${secret}`, /jdbc/),
  url(`"postgres://u:${secret}@h/d"`, /quot/),
  url(`'postgres://u:${secret}@h/d'`, /quot/),
  url(`postgres:/u:${secret}@h/d`, /does not start with postgres:\/\//),
  url(`postgres//u:${secret}@h/d`, /does not start with postgres:\/\//),
  url(`DATABASE_URL=postgres://u:${secret}@h/d`, /DATABASE_URL/),
  url(`host=h user=u password=${secret}`, /does not start with postgres:\/\//),
  url('localhost', /does not start with postgres:\/\//),
  url(`postgres://u:${secret}@h:abc/d`, /the port is not a whole number from 1 to 65535/),
  url(`postgres://u:${secret}@h:99999/d`, /the port is not a whole number/),
  url(`postgres://u:${secret}@h:0/d`, /the port is not a whole number/),
  url(`postgres://u:hunter#2${secret}@h/d`, /percent-encoded/),
  url(`postgres://u:50%${secret}@h/d`, /percent/),
  url(`postgres://shop@corp:SEC#${secret}@h:5432/d`, /the user or the password has a character that must be/),
  url(`postgres://shop:12/${secret}@h:5432/d`, /the user or the password has a character that must be/),
  url(`postgres://u:${secret}@h/d?sslmode=bogus`, /sslmode must be one of disable, .*"bogus"/),
  url(`postgres://u:${secret}@h/d?sslmode=verify-full&sslrootcert=/nowhere.pem`, /\/nowhere\.pem/),
  url(`postgres://u:${secret}@h/d?sslmod=require`, /unknown parameter "sslmod", did you mean "sslmode"/),
]);
