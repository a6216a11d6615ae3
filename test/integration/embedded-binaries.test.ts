import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serverAccount } from '../../src/postgres/embedded/account.ts';
import { findBinaries, linkLibraries } from '../../src/postgres/embedded/binaries.ts';
import { removeEmbedded } from '../../src/postgres/embedded/index.ts';
import { temporaryFolder } from '../support/server.ts';

let projectDir: string;

beforeEach(async () => {
  projectDir = await temporaryFolder();
});

afterEach(async () => {
  await removeEmbedded(projectDir);
  await rm(projectDir, { recursive: true, force: true });
});

describe('the pointer to data elsewhere', () => {
  it('is refused when it names a folder that is not ours', async () => {
    const precious = path.join(projectDir, 'precious');
    await mkdir(path.join(projectDir, '.postgres'));
    await mkdir(precious);
    await writeFile(path.join(projectDir, '.postgres/location'), precious);
    await expect(removeEmbedded(projectDir)).rejects.toMatchObject({ code: 'CONFIG' });
    expect(existsSync(precious)).toBe(true);
    await rm(path.join(projectDir, '.postgres/location'));
  });
});

describe('binaries', () => {
  const account = serverAccount();

  async function fakePostgres(version: string): Promise<string> {
    const folder = path.join(projectDir, version);
    await mkdir(folder);
    for (const name of ['initdb', 'pg_ctl', 'postgres']) {
      const script = `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`;
      await writeFile(path.join(folder, name), script, { mode: 0o755 });
    }
    return folder;
  }

  it('are asked for when there are none', async () => {
    const none = findBinaries({ requiredFrom: [], system: [] }, account, projectDir, null);
    await expect(none).rejects.toMatchObject({
      code: 'CONFIG',
      message: 'there is no Postgres to start the embedded server with',
      hint: expect.stringMatching(/^Set DATABASE_URL, or install/),
    });
  });

  it('are named when they are too old', async () => {
    const system = [await fakePostgres('13.9')];
    const tooOld = findBinaries({ requiredFrom: [], system }, account, projectDir, null);
    await expect(tooOld).rejects.toMatchObject({
      detail: `Found 13.9 in ${system[0]}; 14 or newer is needed.`,
    });
  });

  it('are the newest of the system, or those that the data needs', async () => {
    const places = { requiredFrom: [], system: [await fakePostgres('15.2'), await fakePostgres('16.1')] };
    expect(await findBinaries(places, account, projectDir, null)).toMatchObject({
      version: '16.1',
      major: 16,
    });
    expect(await findBinaries(places, account, projectDir, 15)).toMatchObject({ version: '15.2', major: 15 });
    await expect(findBinaries(places, account, projectDir, 17)).rejects.toMatchObject({
      detail: 'The data is from Postgres 17; found 16.1, 15.2.',
    });
  });

  it('get the links to their libraries where npm made none', async () => {
    const native = path.join(projectDir, 'native');
    await mkdir(path.join(native, 'lib'), { recursive: true });
    await writeFile(path.join(native, 'lib/libpq.so.5.18'), 'library');
    const links = [{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }];
    await writeFile(path.join(native, 'pg-symlinks.json'), JSON.stringify(links));
    await linkLibraries(native);
    await linkLibraries(native);
    expect(await readFile(path.join(native, 'lib/libpq.so.5'), 'utf8')).toBe('library');
  });
});

/** A zombie counts as dead: in a container nobody may reap it. */
