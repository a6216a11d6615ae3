import type { Reporter, TestModule } from 'vitest/node';

/** Prints the counts as one plain line at the very end, for readers that do not know vitest. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const testModule of modules) {
      const tests = [...testModule.children.allTests()];
      if (tests.length === 0 && testModule.state() === 'failed') counts.failed += 1;
      for (const test of tests) counts[test.result().state] += 1;
    }
    const line = `Tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
    process.stdout.write(`\n${line}\n`);
  }
}
