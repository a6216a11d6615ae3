import { parseOverridesChange } from '../../config/overrides.ts';
import type { Verb } from '../../core/config/operate.ts';
import { describeOverrides } from '../../core/config/steering.ts';
import { describeOperated } from '../../migrator/operator.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine } from '../frame/output.ts';
import { type PrintingContext, inEachTarget } from '../frame/each-target.ts';

/** Says a word to a run of any host, and what came of it. */
export async function tellRun(flags: Arguments, all: Io, verb: Verb): Promise<void> {
  const name = String(flags['migration']);
  const tell = async ({ migrator, config, io }: PrintingContext): Promise<void> => {
    const told = await migrator.operator.tell(name, verb);
    if (config.output.json) return printJson(io, told);
    for (const line of describeOperated(told)) printLine(io, line);
  };
  await inEachTarget(flags, all, { again: `${verb} ${name}`, spared: 'USAGE' }, tell);
}

/** Changes settings of a run of any host, and says what is set by now. */
export async function setRun(flags: Arguments, all: Io): Promise<void> {
  const name = String(flags['migration']);
  const texts = (Array.isArray(flags['settings']) ? flags['settings'] : []).map(String);
  const adjust = async ({ migrator, config, io }: PrintingContext): Promise<void> => {
    const adjusted = await migrator.operator.set(name, parseOverridesChange(texts, config.tuning));
    if (config.output.json) return printJson(io, adjusted);
    printLine(
      io,
      `${name}: ${describeOverrides(adjusted.settings)}, on all hosts, starting with the next chunk`,
    );
  };
  await inEachTarget(flags, all, { again: ['set', name, ...texts].join(' '), spared: 'USAGE' }, adjust);
}
