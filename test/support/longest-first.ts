import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * What took longest in a run of all tests, longest first: begun last, it would be waited for alone. Whatever is not
 * named is short, so an old list costs seconds, no more.
 */
const longest = [
  'faults/full faults/wire faults/kill e2e/testing-kit faults/author-process faults/twins e2e/control faults/down',
  'e2e/sweep e2e/physical e2e/hosts faults/pgbouncer e2e/testing-kit-process e2e/guide e2e/real-schemas',
  'integration/survey e2e/signals faults/pgbouncer-outages faults/poison e2e/keys e2e/in-an-application',
  'integration/sparse integration/tables faults/author faults/hosts e2e/application e2e/status faults/black-hole',
  'integration/embedded faults/rewound faults/crash-loop faults/ends faults/meanwhile e2e/examples e2e/logs',
].flatMap((line) => line.split(' '));

/** Starts the longest files first, and those that share processes last, one after the other. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId, project }: TestSpecification): number => {
      const name = path.relative('test', moduleId).replace('.test.ts', '');
      const place = longest.indexOf(name);
      if (place !== -1) return place;
      return longest.length + (project.config.isolate ? 0 : 1);
    };
    return files.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}
