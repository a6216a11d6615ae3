import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { Bench } from './context.ts';
import { machine } from './report.ts';
import { startBenchServer } from './server.ts';
import { cpuSuite } from './suites/cpu.ts';
import { growthSuite } from './suites/growth.ts';
import { lanesSuite } from './suites/lanes.ts';
import { modelSuite } from './suites/model.ts';
import { noopSuite } from './suites/noop.ts';
import { physicalSuite } from './suites/physical.ts';
import { protectionsSuite } from './suites/protections.ts';
import { purgeSuite } from './suites/purge.ts';
import { queuesSuite } from './suites/queues.ts';
import { shapesSuite } from './suites/shapes.ts';
import { soakSuite } from './suites/soak.ts';
import { startSuite } from './suites/start.ts';
import { undoSuite } from './suites/undo.ts';

const suites: Readonly<Record<string, (bench: Bench) => Promise<string>>> = {
  shapes: shapesSuite,
  queues: queuesSuite,
  cpu: cpuSuite,
  noop: noopSuite,
  start: startSuite,
  growth: growthSuite,
  physical: physicalSuite,
  lanes: lanesSuite,
  purge: purgeSuite,
  protections: protectionsSuite,
  undo: undoSuite,
};

// Not compared with anything, and run only where they are named.
const alone: Readonly<Record<string, (bench: Bench) => Promise<string>>> = {
  model: modelSuite,
  soak: soakSuite,
};

const flags = await yargs(hideBin(process.argv))
  .usage('make bench ARGS="[suite..] [options]"')
  .option('rows', {
    type: 'number',
    array: true,
    default: [1_000, 62_000, 1_000_000],
    describe: 'rows of the tables',
  })
  .option('key', {
    choices: ['uuid', 'bigint'] as const,
    default: 'uuid' as const,
    describe: 'type of the key',
  })
  .option('wide', { type: 'boolean', default: false, describe: 'rows of 1 kB more' })
  .option('huge', { type: 'boolean', default: false, describe: 'also 10,000,000 rows' })
  .option('rounds', { type: 'number', default: 5, describe: 'turns of each contestant' })
  .option('minutes', { type: 'number', default: 60, describe: 'how long soak runs' })
  .epilogue(
    `suites: ${Object.keys(suites).join(', ')}; all of them where none is named; alone: ${Object.keys(alone).join(', ')}`,
  )
  .strictOptions()
  .parse();

const asked = flags._.length === 0 ? Object.keys(suites) : flags._.map(String);
const server = await startBenchServer();
try {
  console.log(`# ${machine(server.version)}; ${flags.rounds} rounds`);
  for (const name of asked) {
    const suite = suites[name] ?? alone[name];
    if (suite === undefined) throw new Error(`no suite named ${name}`);
    const say = (line: string): void => console.error(line);
    const rows = flags.huge ? [...flags.rows, 10_000_000] : flags.rows;
    const shape = { key: flags.key, width: flags.wide ? ('wide' as const) : ('narrow' as const) };
    console.log(
      `\n## ${name}\n\n${await suite({ server, rounds: flags.rounds, rows, shape, minutes: flags.minutes, say })}`,
    );
  }
} finally {
  await server.remove();
}
