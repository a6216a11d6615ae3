/** A record of the log. */
export interface LogRecordLine {
  readonly level: string;
  readonly event?: string;
  readonly msg?: string;
}

/**
 * A line as GitHub Actions reads it on either stream of a step: each migration is a group that can be folded, and
 * warnings and errors are annotations of the workflow. `text`: the record as it is written elsewhere.
 */
export function githubLine({ level, event, msg }: LogRecordLine, text: string): string {
  if (event === 'migration.started') return command('group', msg ?? text);
  const line = level === 'warn' || level === 'error' ? annotation(level, msg ?? text) : text;
  return event === 'migration.done' ? `${line}\n${groupEnd}` : line;
}

/** Ends the group that is open; where none is, nothing is shown. */
export const groupEnd = '::endgroup::';

/** An annotation of the workflow; a text of several lines stays one. */
export function annotation(level: 'warn' | 'error', text: string): string {
  return command(level === 'warn' ? 'warning title=umzug-cluster' : 'error title=umzug-cluster', text);
}

/** https://docs.github.com/actions/reference/workflow-commands-for-github-actions: what ends a command is escaped. */
function command(name: string, text: string): string {
  return `::${name}::${text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')}`;
}
