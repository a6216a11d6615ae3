import { parseOverridesChange } from '../../config/overrides.ts';
import type { Verb } from '../../core/config/operate.ts';
import { describeOverrides } from '../../core/config/steering.ts';
import type { OperatedRun } from '../../migrator/migrator.ts';
import { heldHint } from '../../run/lifecycle/held.ts';
import type { Arguments } from '../frame/command.ts';
import { type Io, printJson, printLine } from '../frame/output.ts';
import { withContext } from '../frame/context.ts';

/** Says a word to a run of any host, and what came of it. */
export async function tellRun(flags: Arguments, io: Io, verb: Verb): Promise<void> {
  const name = String(flags['migration']);
  await withContext(flags, io, async ({ migrator, config }) => {
    const told = await migrator.operator.tell(name, verb);
    if (config.output.json) return printJson(io, told);
    for (const line of saidOf(told)) printLine(io, line);
  });
}

/** Changes settings of a run of any host, and says what is set by now. */
export async function setRun(flags: Arguments, io: Io): Promise<void> {
  const name = String(flags['migration']);
  const texts = (Array.isArray(flags['settings']) ? flags['settings'] : []).map(String);
  await withContext(flags, io, async ({ migrator, config }) => {
    const adjusted = await migrator.operator.set(name, parseOverridesChange(texts, config.tuning));
    if (config.output.json) return printJson(io, adjusted);
    printLine(
      io,
      `${name}: ${describeOverrides(adjusted.settings)}, on all hosts, starting with the next chunk`,
    );
  });
}

function saidOf({ name, direction, state, changed }: OperatedRun): readonly string[] {
  const is = changed ? 'is' : 'was already';
  const back = `umzug-cluster down --name ${name}`;
  const again = direction === 'up' ? 'umzug-cluster up' : back;
  const hints = heldHint({ name, direction, state }).split('; ');
  switch (state) {
    case 'paused':
      return [
        `${name} ${is} paused until you resume it: no work is lost, no chunk starts`,
        ...hints.map((hint) => `  ${hint}`),
      ];
    case 'cancelled':
      return [
        `${name} ${is} cancelled: finished work is kept, and it is parked until you decide`,
        ...hints.map((hint) => `  ${hint}`),
      ];
    case 'reverted':
    case 'done':
      return [
        `the rollback of ${name} is abandoned: nothing had been rolled back`,
        `  see it: umzug-cluster status ${name}`,
      ];
    default:
      return [
        changed
          ? `${name} is resumed: hosts that run ${again} work on it`
          : `${name} is neither paused nor cancelled: hosts that run ${again} work on it`,
      ];
  }
}
