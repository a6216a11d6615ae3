/** How the command was started, so that the commands in messages can be pasted. Messages name it `umzug-cluster`. */

/** What was typed before the verb. */
export interface Invocation {
  /** Program and flags: `npx umzug-cluster --migrations db/data`. */
  readonly typed: string;
  /** What `umzug-cluster up`, without further flags, is called here: `make migrate`. Null: as all others. */
  readonly up: string | null;
  /** What can follow the program. */
  readonly verbs: readonly string[];
}

// Of the process: it was started once, in one way. An application that calls `up` itself never sets it.
let rewrite: (text: string) => string = (text) => text;

/** Has `pasteable` name commands as they were typed. */
export function invokedAs({ typed, up, verbs }: Invocation): void {
  const those = verbs.join('|');
  const command = new RegExp(`(?<![\\w./-]|npx |bunx |exec |yarn )umzug-cluster (?=(${those})\\b)`, 'g');
  const bareUp = /(?<![\w./-]|npx |bunx |exec |yarn )umzug-cluster up(?=[;,.)\n"']|$)/g;
  rewrite = (text) =>
    (up === null ? text : text.replaceAll(bareUp, () => up)).replaceAll(command, () => `${typed} `);
}

/** A sentence in which commands can be pasted where this process was started. */
export function pasteable(text: string): string {
  return text.includes('umzug-cluster ') ? rewrite(text) : text;
}

// The commands that take `--targets`.
const targeted =
  /\bumzug-cluster (up|down|plan|status|history|pause|resume|cancel|set|retry|verify|validate|repair|baseline)\b/g;

/** A sentence whose commands name the one of several targets that they are about. */
export function onTarget(text: string, target: string): string {
  return text.replaceAll(targeted, (command) => `${command} --targets ${target}`);
}

/** Where the program was started from. */
export interface Started {
  /** Absolute path. */
  readonly script: string;
  /** The same as it is typed in the working directory. */
  readonly relative: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const runners: readonly (readonly [RegExp, string])[] = [
  [/^pnpm\//, 'pnpm exec umzug-cluster'],
  [/^yarn\//, 'yarn umzug-cluster'],
  [/^bun\//, 'bunx umzug-cluster'],
];

/** The program as it is typed: its name where the shell finds it, a package manager's way, or the script itself. */
export function programOf({ script, relative, env }: Started): string {
  const steps = script.split(/[/\\]/);
  const isPackage = steps.includes('node_modules') || steps.at(-1) === 'umzug-cluster';
  if (!isPackage) return `node ${shellWord(relative)}`;
  const agent = env['npm_config_user_agent'];
  const isFound = (env['PATH'] ?? '').split(/[:;]/).includes(steps.slice(0, -1).join('/'));
  if (agent === undefined && isFound) return 'umzug-cluster';
  return runners.find(([pattern]) => pattern.test(agent ?? ''))?.[1] ?? 'npx umzug-cluster';
}

const places = ['--knexfile', '--env', '--migrations', '--targets'] as const;
const server = '--embedded';

/** The flags that say where migrations and database are, as they were typed; each command needs them again. */
export function placesIn(args: readonly string[]): readonly string[] {
  const typed = places.flatMap((flag) => {
    const joined = args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1);
    const at = args.indexOf(flag);
    const value = joined ?? (at < 0 ? undefined : args[at + 1]);
    // Sentences about one of several targets name it themselves.
    if (flag === '--targets' && value !== 'none') return [];
    // what would have to be escaped once more in JSON is left out
    return value === undefined || value === '' || /["\\\p{Cc}]/u.test(value) ? [] : [flag, shellWord(value)];
  });
  return args.includes(server) ? [...typed, server] : typed;
}

function shellWord(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
