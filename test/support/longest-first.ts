import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * What took longest in a run of all tests, longest first: begun last, it would be waited for alone. Whatever is not
 * named is short, so an old list costs seconds, no more.
 */
const longest = [
  'e2e/testing-kit e2e/control e2e/hosts e2e/guide e2e/testing-kit-process faults/kill faults/down faults/author',
  'e2e/recipes e2e/command-lines integration/tables faults/undo faults/throttle faults/full e2e/keyless e2e/keys',
  'integration/sparse e2e/page faults/outside e2e/worker e2e/in-an-application e2e/application e2e/arguments',
  'faults/pgbouncer-outages e2e/query-builders e2e/page-many faults/poison e2e/progress faults/wire e2e/order-auto',
  'faults/meanwhile e2e/signals faults/author-process e2e/status faults/zombies faults/network faults/ends faults/hosts',
  'integration/embedded e2e/targets e2e/left e2e/bench faults/drift integration/throttle e2e/physical faults/order',
  'e2e/plan faults/dead-network faults/replicas faults/black-hole e2e/real-schemas faults/pgbouncer faults/canary',
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
