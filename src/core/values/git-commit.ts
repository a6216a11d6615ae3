/** The variables in which systems that build and deploy name the commit, the most specific first. */
export const commitVariables = [
  'GITHUB_SHA', // GitHub Actions
  'CI_COMMIT_SHA', // GitLab, Woodpecker
  'CIRCLE_SHA1', // CircleCI
  'BITBUCKET_COMMIT', // Bitbucket Pipelines
  'BUILDKITE_COMMIT', // Buildkite
  'DRONE_COMMIT_SHA', // Drone
  'TRAVIS_COMMIT', // Travis CI
  'BUILD_SOURCEVERSION', // Azure Pipelines
  'CODEBUILD_RESOLVED_SOURCE_VERSION', // AWS CodeBuild
  'APPVEYOR_REPO_COMMIT', // AppVeyor
  'SEMAPHORE_GIT_SHA', // Semaphore
  'GIT_COMMIT', // Jenkins, TeamCity, and by convention many others
  'HEROKU_BUILD_COMMIT', // Heroku, with dyno metadata
  'HEROKU_SLUG_COMMIT', // the same, deprecated
  'RENDER_GIT_COMMIT', // Render
  'RAILWAY_GIT_COMMIT_SHA', // Railway
  'VERCEL_GIT_COMMIT_SHA', // Vercel
  'CF_PAGES_COMMIT_SHA', // Cloudflare Pages
  'COMMIT_REF', // Netlify
  'COMMIT_SHA', // Google Cloud Build, where it is passed on
  'SOURCE_VERSION', // Heroku, while it builds
] as const;

// A variable of this name may hold anything.
const isCommit = /^[0-9a-f]{7,64}$/i;

/** The git commit that these environment variables name; null where none does. */
export function gitCommit(variables: Readonly<Record<string, string | undefined>>): string | null {
  const found = commitVariables
    .map((name) => variables[name]?.trim() ?? '')
    .find((value) => isCommit.test(value));
  return found?.toLowerCase() ?? null;
}
