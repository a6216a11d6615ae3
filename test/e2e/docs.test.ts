import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/commands/all.ts';
import { globalOptions } from '../../src/commands/frame/globals.ts';
import { formatBlock } from '../../src/core/progress/progress-text.ts';
import type { Progress } from '../../src/core/progress/progress.ts';
import { exitCodes } from '../../src/errors.ts';
import { loadMigration } from '../../src/migration/file/loader.ts';
import { parts, renderReference } from '../support/reference.ts';
import { running } from '../support/running.ts';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const documents = [
  'README.md',
  'ARCHITECTURE.md',
  'docs/administering.md',
  'docs/ui.md',
  'docs/adopting.md',
  'docs/arguments.md',
  'docs/deploying.md',
  'docs/guarantees.md',
  'docs/hazards.md',
  'docs/managed-postgres.md',
  'docs/many-databases.md',
  'docs/notifications.md',
  'docs/operating.md',
  'docs/order-and-sweep.md',
  'docs/purging.md',
  'docs/query-builders.md',
  'docs/reference.md',
  'docs/risky-statements.md',
  'docs/README.md',
  'docs/scale.md',
  'docs/tables-and-queries.md',
  'docs/tables-without-a-key.md',
  'docs/throttling.md',
  'docs/tracing.md',
  'docs/writing-migrations.md',
] as const;

/** What `docs/operating.md` explains field by field. */
const exampleProgress: Progress = {
  ...running,
  throttled: 'pace: at most 2,000 rows/s over all hosts',
};

/** The rows of the tables below a heading, up to the next one of its rank, cell by cell; their heads left out. */
function tableRows(file: string, heading: string): readonly (readonly string[])[] {
  const [, section] = `\n${read(file)}`.split(`\n${heading}\n`);
  if (section === undefined) throw new Error(`${file} has no heading "${heading}"`);
  const rank = heading.split(' ')[0] ?? '';
  const lines = (section.split(`\n${rank} `)[0] ?? '').split('\n');
  const isHead = (index: number): boolean => (lines[index + 1] ?? '').startsWith('| -');
  const rows = lines.filter((line, index) => /^\| (?!-)/.test(line) && !isHead(index));
  return rows.map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The test files that a cell names; a name without a folder is in that of the one before it. */
function testsIn(cell: string): readonly string[] {
  let folder = '';
  return [...cell.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, name = '']) => {
    if (name.includes('/')) folder = path.dirname(name);
    return path.join(folder, path.basename(name));
  });
}

describe('the documents', () => {
  it.each([
    ['README.md', 120],
    ['ARCHITECTURE.md', 150],
  ])('%s stays within %i lines', (file, most) => {
    expect(read(file).split('\n').length).toBeLessThanOrEqual(most);
  });

  it('show migrations that load', async () => {
    const texts = documents.map(read).join('\n');
    const examples = [...texts.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(examples.length).toBeGreaterThanOrEqual(5);
    const folder = mkdtempSync(path.join(os.tmpdir(), 'docs-'));
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
    try {
      for (const [index, text] of examples.entries()) {
        const file = path.join(folder, `example-${index}.ts`);
        writeFileSync(file, text);
        const { kind } = await loadMigration({ name: `example-${index}`, path: file });
        expect(kind).toBe(/export const up\b/.test(text) ? 'schema' : 'data');
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('name only commands that there are, and all of them', () => {
    const help = execFileSync(process.execPath, ['dist/cli.js', '--help'], { cwd: root, encoding: 'utf8' });
    const commands = new Set([...help.matchAll(/^ {2}umzug-cluster ([a-z]+) /gm)].map(([, name]) => name));
    for (const file of documents) {
      for (const [, name] of read(file).matchAll(/`umzug-cluster ([a-z]+)/g))
        expect([...commands]).toContain(name);
    }
    const named = new Set(
      [...read('README.md').matchAll(/`umzug-cluster ([a-z]+)/g)].map(([, name]) => name),
    );
    expect(named).toEqual(commands);
  });

  it('give commands only flags that these have', () => {
    const every = Object.keys(globalOptions);
    const wrong = documents.flatMap((file) =>
      [...read(file).matchAll(/umzug-cluster ([a-z]+)((?: [^`\s]+)*)/g)].flatMap(
        ([line, verb, rest = '']) => {
          const command = commands.find(({ command: usage }) => usage.split(' ')[0] === verb);
          const known = [...every, 'help', 'version', ...Object.keys(command?.options ?? {})];
          const given = [...rest.matchAll(/ --([a-z-]+)/g)].map(([, flag]) => flag ?? '');
          return given.filter((flag) => !known.includes(flag)).map((flag) => `${file}: ${line}: --${flag}`);
        },
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('show a running migration as a terminal does', () => {
    const shown = /```text\n([^]*?)```/.exec(read('docs/operating.md'))?.[1]?.trimEnd();
    expect(formatBlock(exampleProgress, 90, false).join('\n')).toBe(shown);
  });

  it('name only make targets that there are', () => {
    const targets = [...read('Makefile').matchAll(/^([a-z-]+):.*##/gm)].map(([, name]) => name);
    for (const file of documents) {
      for (const [, name] of read(file).matchAll(/(?:`|^(?:\$ )?)make ([a-z-]+)/gm))
        expect(targets).toContain(name);
    }
  });

  it('tell in the reference what the code says of commands, flags, settings, exit codes and events', async () => {
    const files = ['docs/reference.md', 'docs/notifications.md'];
    const places = files.flatMap((file) => [...read(file).matchAll(/<!-- from the code: (.*?) -->/g)]);
    expect(places.map(([, name = '']) => name).toSorted()).toEqual(Object.keys(parts).toSorted());
    for (const file of files) {
      const written = read(file);
      const rendered = await renderReference(written);
      if (process.env.UPDATE_DOCS === '1') writeFileSync(path.join(root, file), rendered);
      else expect(written, 'run `npm run docs`').toBe(rendered);
    }
  });

  it('name in the reference every variable that is read', () => {
    const folder = path.join(root, 'src/config');
    const code = [
      ...readdirSync(folder).map((file) => read(`src/config/${file}`)),
      read('src/config/config.ts'),
    ].join();
    const variables = new Set([...code.matchAll(/env\['([A-Z_]+)'\]/g)].map(([, name]) => name ?? ''));
    expect(variables.size).toBeGreaterThan(8);
    for (const name of variables) expect(read('docs/reference.md')).toMatch(new RegExp(`\\b${name}\\b`));
  });

  it('list every exit code', () => {
    for (const code of new Set([0, ...Object.values(exitCodes)])) {
      expect(read('docs/reference.md')).toMatch(new RegExp(`^\\| [^|]*\\b${code}\\b[^|]*\\|`, 'm'));
    }
  });

  it('name only files that there are', () => {
    for (const file of documents) {
      for (const [, name] of read(file).matchAll(/`((?:src|test)\/[^`]*)`/g)) {
        expect([name, existsSync(path.join(root, name ?? ''))]).toEqual([name, true]);
      }
    }
  });

  it('name for each promise of the guarantee a test that there is', () => {
    const promises = tableRows('docs/guarantees.md', '## What is proven');
    expect(promises.length).toBeGreaterThan(20);
    for (const [promise, shownBy = ''] of promises) {
      const tests = testsIn(shownBy);
      expect([promise, tests.length > 0]).toEqual([promise, true]);
      for (const test of tests) expect([test, existsSync(path.join(root, test))]).toEqual([test, true]);
    }
  });

  it('name for each hazard what closes it and a test that there is, and every test of faults', () => {
    const text = read('docs/hazards.md');
    const open = '## What is not closed';
    const headings = [...text.matchAll(/^## .*$/gm)].map(([heading]) => heading);
    const named = new Set<string>();
    for (const heading of headings.filter((one) => one !== open)) {
      const hazards = tableRows('docs/hazards.md', heading);
      expect([heading, hazards.length > 0]).toEqual([heading, true]);
      for (const [hazard = '', closure = '', shownBy = ''] of hazards) {
        expect(Math.min(hazard.length, closure.length), hazard).toBeGreaterThan(5);
        const tests = testsIn(shownBy);
        expect([hazard, tests.length > 0]).toEqual([hazard, true]);
        for (const test of tests) {
          expect([test, existsSync(path.join(root, test))]).toEqual([test, true]);
          named.add(test);
        }
      }
    }
    for (const [limit, instead = ''] of tableRows('docs/hazards.md', open)) {
      expect(instead.length, limit).toBeGreaterThan(5);
    }
    const faults = readdirSync(path.join(root, 'test/faults')).map((file) => `test/faults/${file}`);
    const all = new Set([...named, ...testsIn(text)]);
    expect(faults.filter((file) => !all.has(file))).toEqual([]);
  });

  it('have the table of what failures leave behind, and no case without a reason', () => {
    const failures = tableRows('ARCHITECTURE.md', '## What a failure leaves behind');
    expect(failures.length).toBeGreaterThan(15);
    for (const cells of failures)
      expect([cells[0], cells.every((cell) => cell !== '')]).toEqual([cells[0], true]);
  });
});
