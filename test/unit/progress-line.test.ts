import { describe, expect, it } from 'vitest';
import { formatProgress, shortName } from '../../src/core/progress/progress-line.ts';
import type { Progress } from '../../src/core/progress/progress.ts';
import { running as example } from '../support/running.ts';

const running: Progress = { ...example, etaSeconds: 1.7, otherWorkers: 0, otherHosts: 0, retries: 0 };

describe('formatProgress', () => {
  it('shows bar, percent, rows, rate, ETA, chunk size and workers', () => {
    expect(formatProgress(running, 160, false)).toBe(
      '2025.05.18T22.04.04.dated-to-date-given  ██████████░░░░░░░░░░   50%  31,000/62,000 rows  18,500 rows/s  ETA 2 s  chunk 1,000  8 workers',
    );
  });

  it('says "measuring" until rate and ETA are known', () => {
    const young = { ...running, fraction: null, rowsEstimated: null, rowsPerSecond: null, etaSeconds: null };
    const line = formatProgress(young, 160, false);
    expect(line).toContain('?%  31,000 rows  measuring  ETA measuring');
  });

  it('never says 100% before it is done', () => {
    expect(formatProgress({ ...running, fraction: 0.9999 }, 160, false)).toContain(' 99%');
    expect(formatProgress({ ...running, fraction: 1 }, 160, false)).toContain('100%');
  });

  it('never shows more rows done than estimated', () => {
    expect(formatProgress({ ...running, rowsDone: 70_000 }, 160, false)).toContain('70,000/70,000 rows');
  });

  it('says what it waits for, also where columns are few', () => {
    const waiting = { ...running, waiting: 'transaction of pid 99, 8 s old' };
    for (const columns of [90, 120, 200]) {
      const line = formatProgress(waiting, columns, false);
      expect(line).toContain('waiting: transaction of pid 99, 8 s old');
      expect(line, 'a rate and a time left that nobody works at').not.toMatch(/rows\/s|ETA/);
    }
  });

  it('is never wider than the terminal, with or without colour', () => {
    for (let columns = 1; columns < 200; columns += 1) {
      const plain = formatProgress({ ...running, waiting: 'lock' }, columns, false);
      const colored = formatProgress({ ...running, waiting: 'lock' }, columns, true);
      expect([...plain].length).toBeLessThanOrEqual(columns);
      // oxlint-disable-next-line no-control-regex
      expect(colored.replace(/\u001b\[\d+m/g, '')).toBe(plain);
    }
  });

  it('has no escape sequence without colour, not even from a file name', () => {
    expect(formatProgress({ ...running, migration: 'a\u001b[2Jb' }, 100, false)).not.toContain('\u001b');
  });

  it('stays sane with numbers that are not', () => {
    expect(formatProgress({ ...running, fraction: Number.NaN }, 100, false)).toContain('  0%');
  });
});

describe('shortName', () => {
  it('keeps the year and the end', () => {
    expect(shortName(running.migration, 24)).toBe('2025…dated-to-date-given');
    expect(shortName('short', 24)).toBe('short');
  });
});
