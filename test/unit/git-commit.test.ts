import { expect, it } from 'vitest';
import { commitVariables, gitCommit } from '../../src/core/values/git-commit.ts';

const commit = '0f4c2b9d8e7a6f5b4c3d2e1f0a9b8c7d6e5f4a3b';

it('is named by every common system that builds or deploys', () => {
  for (const name of commitVariables) expect(gitCommit({ [name]: commit })).toBe(commit);
});

it('is the one that was pushed where the platform names the one that it has built as well', () => {
  expect(gitCommit({ SOURCE_VERSION: '1111111', GITHUB_SHA: commit })).toBe(commit);
});

it('is null where no variable names one, or one holds something else', () => {
  expect(gitCommit({})).toBeNull();
  expect(gitCommit({ SOURCE_VERSION: 'release 7', GIT_COMMIT: ' ' })).toBeNull();
  expect(gitCommit({ COMMIT_REF: 'main', GIT_COMMIT: commit.toUpperCase() })).toBe(commit);
});
