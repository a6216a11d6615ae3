import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { describeDatabase } from '../../src/config/database.ts';

const url = 'postgres://app:secret@db.example:6543/shop';

it('the knexfile is never looked for outside the working directory', async () => {
  const above = mkdtempSync(path.join(os.tmpdir(), 'config-'));
  try {
    writeFileSync(path.join(above, 'knexfile.ts'), `throw new Error('code of somebody else');`);
    const cwd = path.join(above, 'project');
    mkdirSync(cwd);
    const config = await loadConfig({ flags: {}, cwd, env: { PGHOST: 'x' } });
    expect(config.knexfile).toBe(null);
  } finally {
    rmSync(above, { recursive: true, force: true });
  }
});

it.each([
  [url, 'db.example:6543/shop'],
  ['postgres:///shop?host=/var/run/postgresql', '/var/run/postgresql:5432/shop'],
  ['postgres://app:secret@/shop?host=/tmp', '/tmp:5432/shop'],
  [{ connectionString: url }, 'db.example:6543/shop'],
  [{ host: 'h', port: 1, database: 'd', password: 'secret' }, 'h:1/d'],
  [{ user: 'app' }, 'localhost:5432/app'],
  ['postgres://app:secret@one:1,two/shop?target_session_attrs=primary', 'one:1,two:5432/shop'],
  ['postgres:///shop?host=one,/tmp&port=1,2', 'one:1,/tmp:2/shop'],
  ['/var/run/postgresql shop', '/var/run/postgresql:5432/shop'],
  ['socket:/var/run/postgresql?db=shop&password=secret', '/var/run/postgresql:5432/shop'],
  [() => ({ password: 'secret' }), 'that the connection function returns'],
])('a database is described as host:port/name: %j', (connection, label) => {
  expect(describeDatabase(connection)).toBe(label);
});
