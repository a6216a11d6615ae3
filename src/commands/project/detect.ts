import { existsSync } from 'node:fs';
import path from 'node:path';
import { fieldsOf } from '../../core/values/fields.ts';
import type { ProjectFacts } from './project.ts';

export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'bun';

/** What a project uses, as far as its files tell. */
export interface Detected {
  readonly packageManager: PackageManager;
  /** Yarn from version 2 on runs scripts in a shell of its own, which passes signals on and has no `exec`. */
  readonly hasOwnShell: boolean;
  readonly testFramework: string | null;
  /** Tools that migrate databases. */
  readonly otherTools: readonly string[];
  /** Scripts of package.json that run migrations of one of them, by name. */
  readonly otherScripts: Readonly<Record<string, string>>;
}

const lockFiles: readonly (readonly [string, PackageManager])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
];

const testFrameworks = ['vitest', 'jest', 'mocha', 'ava', 'tap', 'jasmine'];

/** By tool: the packages that it comes in, and what its command for migrations looks like. */
const tools: Readonly<Record<string, { readonly packages: readonly string[]; readonly script: RegExp }>> = {
  knex: { packages: ['knex'], script: /\bknex\b.*\bmigrate:/ },
  sequelize: { packages: ['sequelize', 'sequelize-cli'], script: /\bsequelize(?:-cli)?\b.*\bdb:migrate/ },
  umzug: { packages: ['umzug'], script: /\bumzug\b(?!-)/ },
  'node-pg-migrate': { packages: ['node-pg-migrate'], script: /\bnode-pg-migrate\b/ },
  kysely: { packages: ['kysely', 'kysely-ctl'], script: /\bkysely\b.*\bmigrate/ },
  typeorm: { packages: ['typeorm'], script: /\btypeorm.*\bmigration:/ },
  mikroorm: { packages: ['@mikro-orm/migrations', '@mikro-orm/core'], script: /\bmikro-orm\b.*\bmigration:/ },
  prisma: { packages: ['prisma', '@prisma/client'], script: /\bprisma\b.*\bmigrate\b/ },
  drizzle: { packages: ['drizzle-kit', 'drizzle-orm'], script: /\bdrizzle-kit\b.*\b(?:migrate|push)\b/ },
};

/** Looks at package.json and the lock files of a folder, or of the nearest one above that has any. */
export function detect(folder: string, { manifest }: ProjectFacts): Detected {
  const packages = new Set(
    ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
      Object.keys(fieldsOf(manifest?.[kind])),
    ),
  );
  const scripts = Object.entries(fieldsOf(manifest?.['scripts'])).map(
    ([name, line]) => [name, String(line)] as const,
  );
  const runsNode = scripts.some(([, line]) => /\bnode\b.*--test\b/.test(line));
  const known = Object.entries(tools);
  return {
    ...managerOf(folder, manifest),
    testFramework: testFrameworks.find((name) => packages.has(name)) ?? (runsNode ? 'node:test' : null),
    otherTools: known
      .filter(([, tool]) => tool.packages.some((name) => packages.has(name)))
      .map(([name]) => name),
    otherScripts: Object.fromEntries(
      scripts.filter(([, line]) => known.some(([, { script }]) => script.test(line))),
    ),
  };
}

function managerOf(
  folder: string,
  manifest: ProjectFacts['manifest'],
): Pick<Detected, 'packageManager' | 'hasOwnShell'> {
  const named = /^(npm|pnpm|yarn|bun)@(\d+)/.exec(String(manifest?.['packageManager'] ?? ''));
  if (named !== null) {
    const packageManager = named[1] as PackageManager;
    return { packageManager, hasOwnShell: packageManager === 'yarn' && Number(named[2]) > 1 };
  }
  for (let at = folder; ; at = path.dirname(at)) {
    const found = lockFiles.find(([file]) => existsSync(path.join(at, file)));
    if (found !== undefined) {
      const hasOwnShell = found[1] === 'yarn' && existsSync(path.join(at, '.yarnrc.yml'));
      return { packageManager: found[1], hasOwnShell };
    }
    // A repository ends the search: what lies above is somebody else's.
    if (existsSync(path.join(at, '.git')) || path.dirname(at) === at) break;
  }
  return { packageManager: 'npm', hasOwnShell: false };
}
