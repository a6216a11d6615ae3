import type { Run } from '../ledger/run/rows.ts';
import { type Changed, analyzeChanged, analyzeMs, isWorthAnalyzing } from '../run/maintenance/analyze.ts';
import type { DataMigration } from '../run/context/step.ts';
import type { Looking } from './left.ts';

// The server stops by itself; a network that is dead does not.
const answerMs = analyzeMs + 500;

/** Has an ended run's table analyzed where that is worth it, and says what became of it; best effort. */
export async function sayAnalyzed(
  { control, env, logger, signal }: Looking,
  { options, name: migration }: DataMigration,
  { plan: { base } }: Run,
  changed: Changed,
): Promise<void> {
  if (options.analyze === false || !isWorthAnalyzing(changed)) return;
  const done = await control.attempt(
    (session) => analyzeChanged(session, env, base, changed),
    answerMs,
    signal,
  );
  if (done === null) return;
  const table = `"${base.name}"`;
  if (done.kind === 'skipped') {
    const { reason } = done;
    const message = `${migration}: ${table} was not analyzed: ${reason}; the planner has old statistics of it until autovacuum comes by`;
    logger.info({ event: 'run.unanalyzed', migration, reason }, message);
    return;
  }
  const { columns } = done;
  const durationMs = Math.round(done.durationMs);
  const what = columns === null ? table : `${columns.map((name) => `"${name}"`).join(', ')} of ${table}`;
  logger.info({ event: 'run.analyzed', migration, columns, durationMs }, `${migration}: analyzed ${what}`);
}
