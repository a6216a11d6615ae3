import { type LogLine, logLine, said } from './log-line.ts';

/**
 * A record as GitHub Actions reads it on either stream of a step: each migration is a group that can be folded, and
 * warnings and errors are annotations of the workflow. Other records are lines as everywhere.
 */
export function githubLines(record: LogLine, fields: boolean): string {
  const { level, event, migration } = record;
  const look = { color: false, fields };
  if (event === 'migration.started') return command('group', String(record.msg ?? migration));
  const line =
    level === 'warn' || level === 'error' ? annotation(level, said(record, look)) : logLine(record, look);
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
