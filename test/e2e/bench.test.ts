import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..', '..');
const hasPsql = spawnSync('psql', ['--version']).status === 0;

it('the benchmark runs, and checks that each contestant changed every row', { timeout: 120_000 }, () => {
  const suites = [...(hasPsql ? ['shapes'] : []), 'growth', 'cpu'];
  const args = ['bench/main.ts', ...suites, '--rows', '200', '--rounds', '1'];
  const jiti = path.join(root, 'node_modules', '.bin', 'jiti');
  const output = execFileSync(jiti, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  for (const suite of suites) expect(output).toContain(`## ${suite}\n`);
  const peaks = [...output.matchAll(/^\| 200 \| \w+ \| [\d,]+ \| +\| \d+ \| (\d+) \|$/gm)].map(([, mb]) =>
    Number(mb),
  );
  expect(peaks).toHaveLength(3);
  for (const mb of peaks) expect(mb).toBeGreaterThan(10);
});
