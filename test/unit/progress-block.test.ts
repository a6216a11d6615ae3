import { describe, expect, it } from 'vitest';
import { VirtualScreen } from '../../scripts/virtual-screen.ts';
import { openTerminal } from '../../src/commands/frame/terminal.ts';
import { EtaMeter } from '../../src/core/progress/eta.ts';
import { formatBlock } from '../../src/core/progress/progress-block.ts';
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
      etaReason: 'slower than 18,500 keys/s',
    };
    expect(formatBlock(slow, 90, false).slice(3)).toEqual([
      '  waiting: transaction of pid 99, 8 s old',
      '  held back: pace: at most 2,000 rows/s over all hosts',
      '  the time left has grown: slower than 18,500 keys/s',
    ]);
  });

  it('names quarantined rows', () => {
    expect(formatBlock({ ...running, quarantined: 1 }, 120, false)[2]).toMatch(/1 row quarantined$/);
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
    expect(text).toMatch(/\?%.*measuring {2}ETA measuring/);
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
    const shown = {
      fraction: null,
      rowsDone: 0,
      keysPassed: 0,
      rowsEstimated: left,
      rowsLeft: left,
      keysLeft: left,
    };
    const seconds = perSecond === 0 ? null : left / perSecond;
    meter.add({ now: shown, seconds, rowsPerSecond: perSecond, ranMs: at * 1_000 });
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
    expect(meter.reason()).toBeNull();
  });

  it('jumps where the run is really slower, and says why for a while', () => {
    const meter = new EtaMeter();
    second(meter, 1, 1_000, 100);
    expect(second(meter, 2, 950, 10)).toBe(95);
    expect(meter.reason()).toBe('slower than 100 rows/s');
    second(meter, 13, 840, 10);
    expect(meter.reason()).toBeNull();
  });

  it('jumps where there is more than was estimated, and says so', () => {
    const meter = new EtaMeter();
    second(meter, 1, 1_000, 100);
    expect(second(meter, 2, 5_000, 100)).toBe(50);
    expect(meter.reason()).toBe('more rows than estimated');
  });

  it('is nothing where nothing is left, and unknown where nothing moves', () => {
    const meter = new EtaMeter();
    expect(second(meter, 5, 10, 0)).toBeNull();
    expect(second(meter, 6, 0, 0)).toBe(0);
  });
});
