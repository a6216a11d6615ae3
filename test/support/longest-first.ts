import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * What took longest in a run of all tests, longest first: begun last, it would be waited for alone. Whatever is not
 * named is short, so an old list costs seconds, no more.
 */
const longest = ['faults/kill', 'faults/full', 'e2e/testing-kit', 'faults/wire', 'faults/twins'];

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
