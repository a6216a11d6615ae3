import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { renderSvg } from '../../scripts/svg.ts';
import { VirtualScreen } from '../../scripts/virtual-screen.ts';

const read = (file: string): string => readFileSync(path.join(import.meta.dirname, '../..', file), 'utf8');

it('plays what stood on a terminal, with its colours, and escapes what would be markup', () => {
  const screen = new VirtualScreen(40);
  screen.write('$ up\n\u001b[1mname\u001b[0m <&>\n');
  const first = { atMs: 0, lines: screen.spans };
  screen.write('\r\u001b[1A\u001b[33mwaiting\u001b[0m\u001b[K\n\u001b[0J');
  const svg = renderSvg([first, { atMs: 1_000, lines: screen.spans }], 40);
  expect(svg).toMatch(/font-weight="bold">name<\/tspan>.* &lt;&amp;&gt;<\/tspan>/);
  expect(svg).toMatch(/<g class="still f f1">.*fill="#e3b341">waiting</);
  expect(svg.match(/<g /g)).toHaveLength(2);
  expect(screen.lines).toEqual(['$ up', 'waiting', '']);
});

it('is in the README, of a run that ended well', () => {
  expect(read('README.md')).toContain('](docs/terminal.svg)');
  const svg = read('docs/terminal.svg');
  for (const word of ['rows/s', 'ETA', 'chunk', 'workers', 'held back', 'umzug-cluster verify']) {
    expect(svg).toContain(word);
  }
});
