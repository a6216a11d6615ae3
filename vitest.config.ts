import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

const here = path.resolve(import.meta.dirname);

const resolve = {
  alias: [
    { find: /^umzug-cluster$/, replacement: path.join(here, 'src/index.ts') },
    // It starts processes of its own, which need the build.
    { find: /^umzug-cluster\/testing$/, replacement: path.join(here, 'dist/testing/index.js') },
  ],
};

const ofAll = {
  // the built command line, which tests call in their own process, is Node's to load
  server: { deps: { external: [/\/dist\//] } },
  pool: 'forks' as const,
  // many times what the longest of them takes: it ends what hangs, and is no judge of a slow machine
  testTimeout: 120_000,
  hookTimeout: 120_000,
};

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/summary-reporter.ts'],
    // each file may start a cluster of processes of its own, but many wait for timers of the server: on 2 cores
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        resolve,
        test: { ...ofAll, name: 'whole', include: ['test/{e2e,faults}/**/*.test.ts'], maxWorkers: 4 },
      },
      {
        resolve,
        // nothing that they leave in their process disturbs the next file
        test: {
          ...ofAll,
          name: 'parts',
          include: ['test/{unit,integration}/**/*.test.ts', 'test/*.test.ts'],
          isolate: false,
          maxWorkers: 4,
        },
      },
    ],
  },
});
