import { parseOverridesChange } from '../../config/overrides.ts';
import type { Config } from '../../config/config.ts';
import { describeOverrides } from '../../core/config/steering.ts';
import { rowsAre } from '../../core/values/numbers.ts';
import { fail } from '../../errors.ts';
import type { Migrator } from '../../migrator/migrator.ts';
import { describeOperated } from '../../migrator/operator.ts';
import type { Action, Done } from '../api/contract.ts';

/** Does what somebody asks for on the page, as the command of the same name does it. `user`: whom the proxy names. */
export type Act = (asked: unknown, user: string | null) => Promise<Done>;

/** The actions on a database. Rejects with USAGE for what is no action, or is not possible now. */
export function actOn(config: Config, migrator: Migrator): Act {
  return async (asked, user) => {
    const { action, migration, values = [], key } = parseAction(asked);
    const operator = migrator.operator.for(user);
    if (action === 'set') {
      const { settings } = await operator.set(migration, parseOverridesChange(values, config.tuning));
      const now = describeOverrides(settings);
      return done(`${migration}: ${now}, on all hosts, starting with the next chunk`);
    }
    if (action === 'retry') {
      const { state, rows } = await operator.retry(migration, key ?? null);
      if (rows === 0) return done(`no such row of ${migration} is quarantined any more`);
      const again = `umzug-cluster up, or where the file was fixed for them: umzug-cluster retry ${migration}`;
      return done(
        `${migration}: ${rowsAre(rows, 'put back')}; ${state === 'failed' ? `to process them, run ${again}` : 'hosts that work on it process them'}`,
      );
    }
    const [line = ''] = describeOperated(await operator.tell(migration, action));
    return done(line);
  };
}

const done = (message: string): Done => ({ ok: true, message });

const actions: readonly Action['action'][] = ['pause', 'resume', 'cancel', 'set', 'retry'];

function parseAction(asked: unknown): Action {
  const { action, migration, values, key } = (asked ?? {}) as Readonly<Record<string, unknown>>;
  const known = actions.find((one) => one === action);
  const areTexts = (list: unknown): list is readonly string[] =>
    Array.isArray(list) && list.every((one) => typeof one === 'string');
  const isFine =
    typeof migration === 'string' &&
    (values === undefined || areTexts(values)) &&
    (key === undefined || areTexts(key));
  if (known === undefined || !isFine) {
    throw fail('USAGE', { message: `an action is one of ${actions.join(', ')}, with a migration` });
  }
  return { action: known, migration, ...(values && { values }), ...(key && { key }) };
}
