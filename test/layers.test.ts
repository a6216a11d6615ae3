import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * Every file of `src/`, lowest first: a file imports only from files before it. It is also the order in
 * which to read the code. A name that ends with a slash stands for the files of a folder that may import
 * each other, without a cycle.
 */
const order = [
  'errors.ts',
  'core/',
  'config/',
  'config.ts',
  'logger.ts',
  'postgres/',
  'postgres/embedded/',
  'migration/',
  'ledger/',
  'run/',
  'cluster/',
  'migrator/',
  'migrator.ts',
  'application.ts',
  'index.ts',
  'index.cts',
  'testing/',
  'testing.ts',
  'commands/',
  'command-line.ts',
  'cli.ts',
] as const;

/**
 * Files that may import a type from above, which leaves nothing at run time: the parts of the migrator
 * speak of what its front declares.
 */
const typesFromAbove: Readonly<Record<string, string>> = { 'migrator/': 'migrator.ts' };

const root = path.join(import.meta.dirname, '..');
const mostLines = 400;

interface Source {
  readonly file: string;
  readonly text: string;
  /** Files below `src/` that it imports; `typeOnly` leaves nothing at run time. */
  readonly imports: readonly { readonly file: string; readonly typeOnly: boolean }[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.c?ts$/.test(file))
    .toSorted();
}

const sources: readonly Source[] = filesBelow('src').map((file) => {
  const text = readFileSync(path.join(root, 'src', file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)(?:import|export)\s+(type\s+)?(?:[^;'"]*?\sfrom\s+)?'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)/g,
  );
  const imports = [...found].map(([, type, from, lazily]) => ({
    file: path.join(path.dirname(file), from ?? lazily ?? ''),
    typeOnly: type !== undefined,
  }));
  return { file, text, imports };
});

function isTypeFromAbove(file: string, target: Source['imports'][number]): boolean {
  return target.typeOnly && typesFromAbove[`${path.dirname(file)}/`] === target.file;
}

function layerOf(file: string): number {
  const folder = `${path.dirname(file)}/`;
  return order.findIndex((layer) => layer === file || layer === folder);
}

describe('layers', () => {
  it('knows every file', () => {
    const unknown = sources.filter(({ file }) => layerOf(file) === -1).map(({ file }) => file);
    expect(unknown).toEqual([]);
  });

  it('lets a file import only what stands below it', () => {
    const upward = sources.flatMap(({ file, imports }) =>
      imports
        .filter((target) => layerOf(target.file) > layerOf(file) && !isTypeFromAbove(file, target))
        .map((target) => `${file} imports ${target.file}`),
    );
    expect(upward).toEqual([]);
  });

  it('has no import cycle', () => {
    const graph = new Map(
      sources.map(({ file, imports }) => [
        file,
        imports.filter((target) => !isTypeFromAbove(file, target)).map((target) => target.file),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, above: readonly string[]): string[] => {
      if (above.includes(file)) return [[...above.slice(above.indexOf(file)), file].join(' -> ')];
      if (done.has(file)) return [];
      const cycles = (graph.get(file) ?? []).flatMap((next) => visit(next, [...above, file]));
      done.add(file);
      return cycles;
    };
    expect([...graph.keys()].flatMap((file) => visit(file, []))).toEqual([]);
  });

  it('keeps core pure: nothing of Node, no package', () => {
    const impure = sources
      .filter(({ file }) => file.startsWith('core/'))
      .filter(({ text }) =>
        /(?:from|import) '(?!\.)|import\('(?!\.)|\bprocess\.|Math\.random\(|Date\.now\(|new Date\(\)|performance\.now\(/.test(
          withoutComments(text),
        ),
      );
    expect(impure.map(({ file }) => file)).toEqual([]);
  });
});

describe('who may do what', () => {
  const where = (pattern: RegExp): string[] =>
    sources.filter(({ text }) => pattern.test(withoutComments(text))).map(({ file }) => file);

  it('lets only config read the environment', () => {
    const readers = where(/process\.env\b/).filter((file) => !/^config(\.ts|\/)/.test(file));
    // An application and the kit pass a database URL on through the environment that config reads.
    expect(readers).toEqual(['application.ts', 'testing/environment.ts']);
  });

  it('lets only the command line set the exit code', () => {
    // `make clean` runs the other one by itself.
    expect(where(/process\.exitCode\b/)).toEqual([
      'cli.ts',
      'command-line.ts',
      'postgres/embedded/remove.ts',
    ]);
  });

  it('lets only the command line end the process, and a worker its own', () => {
    const watching = 'cluster/process-watch-thread.ts';
    expect(where(/process\.exit\(/)).toEqual([watching, 'cluster/worker.ts', 'command-line.ts']);
  });

  it('lets only errors declare error classes', () => {
    expect(where(/class\s+\w+\s+extends\s+\w*Error\b/)).toEqual(['errors.ts']);
  });

  it('lets only ledger name its tables', () => {
    const tables = /\b(guard_open|guard_closed|\.quarantine\b.*(from|into|update))/;
    expect(where(tables).filter((file) => !file.startsWith('ledger/'))).toEqual([]);
  });
});

describe('size', () => {
  it(`keeps every file within ${mostLines} lines`, () => {
    const files = [
      ...filesBelow('src').map((file) => `src/${file}`),
      ...filesBelow('test').map((file) => `test/${file}`),
    ];
    const long = files
      .map((file) => [file, readFileSync(path.join(root, file), 'utf8').split('\n').length - 1] as const)
      .filter(([, lines]) => lines > mostLines);
    expect(long).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
}
