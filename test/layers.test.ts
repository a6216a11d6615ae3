import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * The rooms of `src/`, lowest first, which is also the order in which to read them. A file imports only from its own
 * room and from rooms above it in this table, types included; the files of a room may import each other, without a
 * cycle. A name with a slash at its end is a folder, without those below it and files that have a line of their own.
 */
const order = [
  // What is true without a database: numbers, words, decisions.
  'core/values/',
  'core/config/',
  'core/errors/',
  'errors.ts',
  'core/throttle/',
  'core/plan/',
  'core/size/',
  'core/progress/',
  'core/targets/',
  // Where to connect and what to say.
  'config/',
  'logger.ts',
  // Who is told, and what is traced.
  'notify/',
  'telemetry/',
  'postgres/',
  'postgres/embedded/',
  // What an author writes, and what it means to Postgres.
  'migration/contract/',
  'migration/sql/',
  'migration/key/',
  'migration/handle/',
  'migration/write-rows/',
  'migration/select/',
  'migration/chunk/',
  'migration/table/',
  'migration/file/',
  'migration/lint/',
  'migration/create/',
  // What is kept in the database.
  'ledger/',
  'ledger/run/',
  'ledger/look/',
  'ledger/ledger.ts',
  // What holds a run back.
  'throttle/',
  // The life of a run, from its plan to its end.
  'run/checks/',
  'run/context/',
  'run/analyze/',
  'run/maintenance/',
  'run/order/',
  'run/images/',
  'run/chunk/',
  'run/lane/',
  'run/lifecycle/',
  'run/schema/',
  'run/dry-run/',
  // The processes that share it.
  'cluster/process/',
  'cluster/worker/',
  'cluster/primary/',
  // Which migrations are run, in which order, by whom.
  'migrator/pending/',
  'migrator/plan/',
  'migrator/status/',
  'migrator/',
  // Several databases or schemas.
  'targets/',
  // What a browser is shown.
  'ui/api/',
  'ui/page/',
  'ui/report/',
  'ui/server/',
  // What applications, authors and people at a terminal call.
  'application.ts',
  'index.ts',
  'index.cts',
  'testing/command/',
  'testing/contract/',
  'testing/database/',
  'testing/checks/',
  'testing/',
  'commands/frame/',
  'commands/run/',
  'commands/control/',
  'commands/look/',
  'commands/ledger/',
  'commands/project/',
  'commands/',
  'command-line.ts',
  'cli.ts',
] as const;

const root = path.join(import.meta.dirname, '..');
const mostLines = 400;
const mostFiles = 15;
const mostFilesWithoutReadme = 6;

interface Source {
  readonly file: string;
  readonly text: string;
  /** Files below `src/` that it imports, types included. */
  readonly imports: readonly string[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.c?ts$/.test(file))
    .toSorted();
}

const sources: readonly Source[] = filesBelow('src').map((file) => {
  const text = readFileSync(path.join(root, 'src', file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)(?:import|export)\s+(?:type\s+)?(?:[^;'"]*?\sfrom\s+)?'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)/g,
  );
  const imports = [...found].map(([, from, lazily]) => path.join(path.dirname(file), from ?? lazily ?? ''));
  return { file, text, imports };
});

function layerOf(file: string): number {
  const folder = `${path.dirname(file)}/`;
  return order.findLastIndex((layer) => layer === file || layer === folder);
}

describe('layers', () => {
  it('knows every file', () => {
    const unknown = sources.filter(({ file }) => layerOf(file) === -1).map(({ file }) => file);
    expect(unknown).toEqual([]);
  });

  it('lets a file import only from its own room and those before it', () => {
    const upward = sources.flatMap(({ file, imports }) =>
      imports
        .filter((target) => layerOf(target) > layerOf(file))
        .map((target) => `${file} imports ${target}`),
    );
    expect(upward).toEqual([]);
  });

  it('has no import cycle', () => {
    const graph = new Map(sources.map(({ file, imports }) => [file, imports]));
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
    const elsewhere = where(/process\.env\b/).filter((file) => !file.startsWith('config/'));
    // What is in the text of new files is read by those.
    const readers = elsewhere.filter((file) => !/^migration\/create\/.*recipe/.test(file));
    // An application and the kit pass a database URL on through the environment that config reads.
    expect(readers).toEqual(['application.ts', 'testing/command/environment.ts']);
  });

  it('lets only the command line set the exit code', () => {
    expect(where(/process\.exitCode\b/)).toEqual(['cli.ts', 'command-line.ts']);
  });

  it('lets only the command line end the process, and a worker its own', () => {
    const watching = 'cluster/process/process-watch-thread.ts';
    expect(where(/process\.exit\(/)).toEqual([watching, 'cluster/worker/worker.ts', 'command-line.ts']);
  });

  it('loads what serves the page with the one command that serves it', () => {
    expect(where(/from '(?:@?hono\b|prom-client)/).filter((file) => !file.startsWith('ui/server/'))).toEqual(
      [],
    );
    const loaders = where(/from '[^']*\/ui\/(?:api|server|report)\//);
    expect(loaders.filter((file) => !file.startsWith('ui/'))).toEqual([]);
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
  it(`keeps every room within ${mostFiles} files, and explains the larger ones`, () => {
    const rooms = [...new Set(sources.map(({ file }) => path.dirname(file)))].filter((room) => room !== '.');
    for (const room of rooms) {
      const { length } = sources.filter(({ file }) => path.dirname(file) === room);
      expect(length, room).toBeLessThanOrEqual(mostFiles);
      const isExplained = existsSync(path.join(root, 'src', room, 'README.md'));
      if (length > mostFilesWithoutReadme) expect(isExplained, room).toBe(true);
    }
  });

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
