import path from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

// Where to look first when the tests take too long.
const slowestShown = 10;

/** Prints the slowest files, what failed, and at the very end the counts as one plain line for readers that do not know vitest. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const testModule of modules) {
      const tests = [...testModule.children.allTests()];
      if (tests.length === 0 && testModule.state() === 'failed') counts.failed += 1;
      for (const test of tests) counts[test.result().state] += 1;
    }
    const line = `Tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
    process.stdout.write(`${slowestOf(modules)}${failedOf(modules)}\n${line}\n`);
  }
}

/** What failed, with the first line of why: all that is left where only the end of a log is kept. */
function failedOf(modules: readonly TestModule[]): string {
  const lines = modules.flatMap((one) => {
    const failed = [...one.children.allTests('failed')];
    if (failed.length === 0 && one.state() !== 'failed') return [];
    const file = path.relative(process.cwd(), one.moduleId);
    const why = (errors: readonly { message: string }[] | undefined): string =>
      (errors?.[0]?.message ?? '').slice(0, 300).split('\n', 3).join('\n    ');
    if (failed.length === 0) return [`  ${file}\n    ${why(one.errors())}\n`];
    return failed.map((test) => `  ${file} > ${test.fullName}\n    ${why(test.result().errors)}\n`);
  });
  return lines.length === 0 ? '' : `\nFailed:\n${lines.join('')}`;
}

/** The files that took longest, where there are more than can be seen at a glance. */
function slowestOf(modules: readonly TestModule[]): string {
  if (modules.length <= slowestShown) return '';
  const lines = modules
    .map((one) => ({ ms: one.diagnostic().duration, file: path.relative(process.cwd(), one.moduleId) }))
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, slowestShown)
    .map(({ ms, file }) => `  ${(ms / 1_000).toFixed(1).padStart(6)} s  ${file}\n`);
  return `\nThe slowest files:\n${lines.join('')}`;
}
