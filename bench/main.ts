import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { Bench } from './context.ts';
import { machine } from './report.ts';
import { startBenchServer } from './server.ts';
import { protectionsSuite } from './suites/protections.ts';
import { shapesSuite } from './suites/shapes.ts';

const suites: Readonly<Record<string, (bench: Bench) => Promise<string>>> = {
  shapes: shapesSuite,
  protections: protectionsSuite,
};

const flags = await yargs(hideBin(process.argv))
  .usage('make bench ARGS="[suite..] [options]"')
  .option('rows', {
    type: 'number',
    array: true,
    default: [1_000, 62_000, 1_000_000],
    describe: 'rows of the tables',
  })
  .option('rounds', { type: 'number', default: 5, describe: 'turns of each contestant' })
  .epilogue(`suites: ${Object.keys(suites).join(', ')}; all of them where none is named`)
  .strictOptions()
  .parse();

const asked = flags._.length === 0 ? Object.keys(suites) : flags._.map(String);
const server = await startBenchServer();
try {
  console.log(`# ${machine(server.version)}; ${flags.rounds} rounds`);
  for (const name of asked) {
    const suite = suites[name];
    if (suite === undefined) throw new Error(`no suite named ${name}`);
    const say = (line: string): void => console.error(line);
    console.log(`\n## ${name}\n\n${await suite({ server, rounds: flags.rounds, rows: flags.rows, say })}`);
  }
} finally {
  await server.remove();
}
