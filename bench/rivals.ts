import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runProgram } from './compare.ts';

const source = path.join(import.meta.dirname, 'rivals');
const folder = path.join(import.meta.dirname, '..', '.cache', 'bench-rivals');

/**
 * A folder with the programs to compare with, and their packages: installed when they are first asked for, since
 * neither the product nor its tests need them.
 */
export async function rivalsFolder(say: (line: string) => void): Promise<string> {
  mkdirSync(folder, { recursive: true });
  cpSync(source, folder, { recursive: true });
  const wanted = createHash('sha256')
    .update(readFileSync(path.join(source, 'package.json')))
    .digest('hex');
  const stamp = path.join(folder, '.installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return folder;
  say('installing what the product is compared with');
  await runProgram('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'], {
    cwd: folder,
  });
  writeFileSync(stamp, wanted);
  return folder;
}
