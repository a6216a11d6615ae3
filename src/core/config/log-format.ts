/** How records are written: for people, for programs, or for people who read them in GitHub Actions. */
export const logFormats = ['pretty', 'json', 'github'] as const;

export type LogFormat = (typeof logFormats)[number];

/**
 * The format that was asked for, else the one for whoever reads: GitHub Actions, where it says that it does; a
 * collector of JSON in production; a person anywhere else, and always on a terminal.
 */
export function logFormatOf(
  asked: unknown,
  env: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): LogFormat {
  const known = logFormats.find((format) => format === asked);
  if (known !== undefined) return known;
  if (isTerminal) return 'pretty';
  if (env['GITHUB_ACTIONS'] === 'true') return 'github';
  return env['NODE_ENV'] === 'production' ? 'json' : 'pretty';
}
