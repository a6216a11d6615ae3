import { describe, expect, it } from 'vitest';
import { VirtualScreen } from '../../scripts/virtual-screen.ts';
import { openTerminal } from '../../src/commands/frame/terminal.ts';
import { EtaMeter } from '../../src/core/progress/meters.ts';
import { formatBlock, formatProgress, shortName } from '../../src/core/progress/progress-text.ts';
import { nothingDrawn, redraw } from '../../src/core/progress/redraw.ts';
import { running } from '../support/running.ts';

describe('the block of a running migration', () => {
  it('shows name, bar, percent, rows, rate, time left, chunks, workers and retries', () => {
    expect(formatBlock(running, 90, false)).toEqual([
      '2025.05.18T22.04.04.dated-to-date-given',
      '  ██████████░░░░░░░░░░  50%  31,000/62,000 rows  18,500 rows/s  ETA 1m 40s',
      '  31 done · chunk 1,000 rows in 0.4 s · 8 workers, 4 on 2 other hosts · 3 retries',
    ]);
  });

  it('says each reason why it is slow on a line of its own', () => {
    const slow = {
      ...running,
      waiting: 'transaction of pid 99, 8 s old',
      throttled: 'pace: at most 2,000 rows/s over all hosts',
    };
    expect(formatBlock(slow, 90, false).slice(3)).toEqual([
      '  waiting: transaction of pid 99, 8 s old',
      '  held back: pace: at most 2,000 rows/s over all hosts',
    ]);
  });

  it('names quarantined rows', () => {
    expect(formatBlock({ ...running, quarantined: 1 }, 120, false)[2]).toMatch(/1 row quarantined$/);
  });

  it('shows neither rate nor time left while it waits', () => {
    const lines = formatBlock({ ...running, waiting: 'transaction of pid 99, 8 s old' }, 90, false);
    expect(lines.join('\n')).not.toMatch(/rows\/s|ETA/);
  });

  it('never shows 100% before it is done, nor more rows done than estimated, nor numbers that are none', () => {
    const measures = (of: object): string | undefined => formatBlock({ ...running, ...of }, 90, false)[1];
    expect(measures({ fraction: 0.9999 })).toContain(' 99%');
    expect(measures({ fraction: 1 })).toContain('100%');
    expect(measures({ rowsDone: 70_000 })).toContain('70,000/70,000 rows');
    expect(measures({ fraction: Number.NaN })).toContain('  0%');
  });

  it('is one sentence of a log, however long, without a bar', () => {
    expect(formatProgress({ ...running, etaSeconds: 9.2 })).toBe(
      '2025.05.18T22.04.04.dated-to-date-given 50% 31,000/62,000 rows 18,500 rows/s ETA 10s',
    );
    expect(formatProgress({ ...running, waiting: 'a lock', quarantined: 1 })).toBe(
      '2025.05.18T22.04.04.dated-to-date-given 50% 31,000/62,000 rows; waiting: a lock; 1 row quarantined',
    );
  });

  it('cuts a long name in the middle of its timestamp', () => {
    expect(shortName(running.migration, 24)).toBe('2025…dated-to-date-given');
    expect(shortName('short', 24)).toBe('short');
  });

  it('keeps to what matters where columns are few', () => {
    expect(formatBlock(running, 45, false)).toEqual([
      '2025.05.18T22.04.04.dated-to-date-given',
      '  50%  ETA 1m 40s  31,000/62,000 rows  18,50…',
    ]);
  });

  it('says "measuring" until it is known, and nothing of a chunk before there is one', () => {
    const young = {
      ...running,
      fraction: null,
      rowsPerSecond: null,
      etaSeconds: null,
      chunkSize: 0,
      chunkMs: null,
    };
    const text = formatBlock(young, 120, false).join('\n');
    expect(text).toMatch(/\?%.* {2}measuring$/m);
    expect(text).toContain('no chunk yet');
  });

  it('is never wider than the terminal, with or without colour', () => {
    const full = { ...running, waiting: 'a lock', quarantined: 7, direction: 'down' as const };
    for (let columns = 10; columns < 160; columns += 1) {
      const plain = formatBlock(full, columns, false);
      for (const line of plain) expect([...line].length).toBeLessThanOrEqual(columns);
      // oxlint-disable-next-line no-control-regex
      const colored = formatBlock(full, columns, true).map((line) => line.replace(/\u001b\[\d+m/g, ''));
      expect(colored).toEqual(plain);
    }
  });

  it('has no escape sequence from a file name or a reason', () => {
    const evil = { ...running, migration: 'a\u001b[2Jb', waiting: 'x\u001b[0Jy' };
    expect(formatBlock(evil, 100, false).join('')).not.toContain('\u001b');
  });
});

describe('a redrawn block', () => {
  it('leaves what was written above it, and nothing of what was drawn before', () => {
    const screen = new VirtualScreen();
    screen.write(redraw(nothingDrawn, ['one', 'two', 'three'], 80));
    screen.write(
      redraw({ lines: ['one', 'two', 'three'], columns: 80 }, ['four'], 80, 'a log line\nand another\n'),
    );
    expect(screen.lines).toEqual(['a log line', 'and another', 'four', '']);
  });

  it('never blanks what it draws anew, and goes back over lines that a narrower terminal has wrapped', () => {
    const text = redraw({ lines: ['x'.repeat(70)], columns: 80 }, ['y'], 30);
    expect(text).toContain('\u001b[3A');
    expect(text.indexOf('\u001b[0J')).toBeGreaterThan(text.indexOf('y'));
  });
});

describe('the terminal of up', () => {
  it('draws at most ten times a second, log lines stay above, and what is done leaves nothing', () => {
    const screen = new VirtualScreen();
    let now = 0;
    const terminal = openTerminal({ color: false }, screen, () => now);
    terminal.show(running);
    terminal.show({ ...running, rowsDone: 32_000 });
    expect(screen.lines[1]).toContain('31,000/62,000');
    now = 200;
    terminal.show({ ...running, rowsDone: 33_000 });
    expect(screen.lines[1]).toContain('33,000/62,000');
    terminal.write('said meanwhile\n');
    expect(screen.lines[0]).toBe('said meanwhile');
    expect(screen.lines[2]).toContain('33,000/62,000');
    screen.resize(50);
    expect(screen.lines.filter((line) => line.includes('33,000'))).toHaveLength(1);
    terminal.show({ ...running, fraction: 1 });
    terminal.show({ ...running, fraction: 1 });
    terminal.close();
    expect(screen.lines.join('\n')).not.toContain('rows/s');
  });
});

describe('the time left', () => {
  const second = (meter: EtaMeter, at: number, left: number, perSecond: number): number | null => {
    meter.add(left === 0 ? 0 : perSecond === 0 ? null : left / perSecond, at * 1_000);
    return meter.seconds();
  };

  it('is not known in the first second, and goes down with the clock', () => {
    const meter = new EtaMeter();
    expect(second(meter, 0.5, 1_000, 100)).toBeNull();
    expect(second(meter, 1, 1_000, 100)).toBe(10);
    expect(second(meter, 2, 900, 100)).toBe(9);
    expect(second(meter, 3, 700, 100)).toBe(7);
  });

  it('stands still while the rate swings, and never goes up by that', () => {
    const meter = new EtaMeter();
    second(meter, 1, 1_000, 10);
    let before = meter.seconds() ?? 0;
    for (let at = 2; at < 60; at += 1) {
      const now = second(meter, at, 1_000 - at * 10, at % 2 === 0 ? 9 : 11) ?? Infinity;
      expect(now).toBeLessThanOrEqual(before);
      before = now;
    }
  });

  it('jumps where the run is really slower', () => {
    const meter = new EtaMeter();
    second(meter, 1, 1_000, 100);
    expect(second(meter, 2, 950, 10)).toBe(95);
  });

  it('is nothing where nothing is left, and unknown where nothing moves', () => {
    const meter = new EtaMeter();
    expect(second(meter, 5, 10, 0)).toBeNull();
    expect(second(meter, 6, 0, 0)).toBe(0);
  });
});
