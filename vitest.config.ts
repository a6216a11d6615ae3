import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    alias: [
      { find: /^umzug-cluster$/, replacement: path.resolve(import.meta.dirname, 'src/index.ts') },
      // It starts processes of its own, which need the build.
      {
        find: /^umzug-cluster\/testing$/,
        replacement: path.resolve(import.meta.dirname, 'dist/testing/index.js'),
      },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/summary-reporter.ts'],
    // the built command line, which tests call in their own process, is Node's to load
    server: { deps: { external: [/\/dist\//] } },
    pool: 'forks',
    // each file may start a cluster of processes of its own, but many wait for timers of the server: on 2 cores
    maxWorkers: 3,
    // many times what the longest of them takes: it ends what hangs, and is no judge of a slow machine
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
