import { type Control, openControl } from '../cluster/worker/control.ts';
import type { Config } from '../config/config.ts';
import type { OtherTool } from '../core/values/other-tools.ts';
import type { FileHashes } from '../core/values/file-drift.ts';
import { codeOf, fail, messageOf } from '../errors.ts';
import type { Forgetting, StoredRun } from '../ledger/forgetting.ts';
import type { Pruned } from '../ledger/pruning.ts';
import { ensureLedger, upgradeLedger } from '../ledger/schema.ts';
import { type TurnOptions, takeTurn } from '../ledger/turn.ts';
import type { Logger } from '../logger.ts';
import { type MigrationFile, folderOf, listMigrations } from '../migration/file/folder.ts';
import { hashesOfFile } from '../migration/file/imports.ts';
import { kindOf } from '../migration/file/loader.ts';
import type { BaseTable } from '../migration/key/key.ts';
import type { Session } from '../postgres/session.ts';
import { reading, withTransaction } from '../postgres/transaction.ts';
import { type RunEnvironment, makeEnvironment, readServer } from '../run/context/environment.ts';
import { type Changed, changedSince } from './pending/checks.ts';
import { readOtherTool } from './pending/other-tools.ts';
import { type LedgerState, readState } from './pending/state.ts';
import { unknownName } from './pending/umzug.ts';

/** Which migrations `baseline` marks as executed. */
export type BaselineRequest =
  | { readonly kind: 'to'; readonly name: string }
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'from'; readonly tool: OtherTool; readonly table: string | undefined };

/** What became of a `baseline`. */
export interface BaselineReport {
  /** Marked as executed now, in order. */
  readonly marked: readonly string[];
  /** They were executed already. */
  readonly already: readonly string[];
  /** Recorded by the other tool, without a file here. */
  readonly withoutFile: readonly string[];
}

/** What `forget` has removed. */
export interface Forgotten {
  /** Of so many runs, or in so many runs it was looked for. */
  readonly runs: number;
  /** Stored values of the one row that it was about; null: it was about all of them. */
  readonly images: number | null;
  readonly bytes: number;
}

const lockTimeout = '55P03';

// A host that begins or ends a run is done in milliseconds.
const turnMs = 20_000;

/** Changes what the ledger says of migrations, without running any. Each call is one transaction. */
export class LedgerAdmin {
  readonly #config: Config;
  readonly #control: Control;

  constructor(config: Config, control: Control) {
    this.#config = config;
    this.#control = control;
  }

  /** Accepts files and tables of migrations as they are, where they have changed, or those of one; which they were. */
  async repair(name?: string): Promise<readonly Changed[]> {
    const files = await listMigrations(this.#config.migrationsDirs);
    return await this.#inTurn(async ({ session, env, state }) => {
      const ledger = env.ledger(session);
      if (!state.exists) return [];
      if (name !== undefined && !state.live.includes(name)) requireExecuted(name, state);
      const executed = state.executed.filter((one) => name === undefined || one.name === name);
      const changed = await changedSince(files, executed);
      const recreated = await ledger.migrations.recreatedTables(name);
      await ledger.migrations.acceptTables(recreated.map((one) => one.name));
      for (const one of changed) {
        const file = files.find((candidate) => candidate.name === one.name);
        if (file === undefined) continue;
        const hashes = await hashesOfFile(file);
        await ledger.migrations.acceptFiles(one.name, hashes);
        const { fileSha256 } = hashes;
        await ledger.history.record('repaired', { name: one.name, fileSha256 }, { files: one.files });
      }
      for (const one of recreated) await ledger.history.record('repaired', one, { table: one.table });
      return [...changed, ...recreated.map((one) => ({ name: one.name, files: `table ${one.table}` }))];
    });
  }

  /** Marks migrations as executed without running them. Throws RUNNING where one of them is under way. */
  async baseline(request: BaselineRequest): Promise<BaselineReport> {
    const files = await listMigrations(this.#config.migrationsDirs);
    const [wanted, before] = await this.#control.use((session) =>
      reading(session, async () => [
        await this.#wanted(session, files, request),
        await readState(session, this.#config),
      ]),
    );
    const asked = new Set(wanted);
    const unmarked = ({ executed }: LedgerState): readonly MigrationFile[] => {
      const done = new Set(executed.map(({ name }) => name));
      return files.filter(({ name }) => asked.has(name) && !done.has(name));
    };
    refuseLive(unmarked(before), before);
    // Before the turn, in which others wait.
    const read = new Map<string, FileFacts>();
    for (const file of unmarked(before)) read.set(file.name, await factsOf(file, request));
    return await this.#inTurn(async ({ session, env, turn, state }) => {
      const executed = new Set(state.executed.map(({ name }) => name));
      const marked = unmarked(state);
      refuseLive(marked, state);
      if (marked.length > 0) {
        await ensureLedger(session, env.ledgerSchema, turn);
        const facts = await Promise.all(
          marked.map(async (file) => read.get(file.name) ?? (await factsOf(file, request))),
        );
        const { migrations, history } = env.ledger(session);
        await migrations.recordBaseline(facts);
        for (const one of facts) {
          await migrations.noteFolder(one.name, one.folder);
          await history.record('baselined', one);
        }
      }
      const present = new Set(files.map(({ name }) => name));
      return {
        marked: marked.map(({ name }) => name),
        already: wanted.filter((name) => executed.has(name)),
        withoutFile: wanted.filter((name) => !present.has(name) && !executed.has(name)),
      };
    });
  }

  /** Undoes marking migrations as executed; those that were run stay. */
  async undoBaseline(names: readonly string[]): Promise<readonly string[]> {
    return await this.#inTurn(async ({ session, env, state }) => {
      for (const name of names) {
        requireExecuted(name, state);
        if (state.executed.some((one) => one.name === name && one.isBaseline)) continue;
        throw fail('USAGE', {
          message: `${name} was run, not marked as executed`,
          hint: `revert it: umzug-cluster down --name ${name}`,
        });
      }
      for (const name of names) {
        await env.ledger(session).migrations.forget(name);
        await env.ledger(session).history.record('unbaselined', { name });
      }
      return names;
    });
  }

  /** Removes what the ledger keeps of migrations that were rolled back so long ago; how much. */
  async prune(olderThanMs: number): Promise<Pruned> {
    return await this.#inTurn(async ({ session, env, state }) => {
      if (!state.exists) return { runs: 0, ranges: 0, quarantined: 0, events: 0 };
      const { history, pruning } = env.ledger(session);
      const pruned = await pruning.removeOlderThan(olderThanMs);
      if (pruned.runs + pruned.events > 0) await history.record('pruned', { name: null }, { ...pruned });
      return pruned;
    });
  }

  /** Removes what runs of a migration have stored of what rows held before, or of one row of them; how much. */
  async forget(name: string, key: readonly string[] | null): Promise<Forgotten> {
    const files = await listMigrations(this.#config.migrationsDirs);
    return await this.#inTurn(async ({ session, env, state }) => {
      const { forgetting, history, runs } = env.ledger(session);
      const stored = state.exists ? await forgetting.stored(name) : [];
      const known = [...new Set([...files, ...state.executed].map((one) => one.name)), ...state.live];
      if (stored.length === 0 && !known.includes(name)) throw unknownName(name, known, 'known');
      if (key === null) refuseUsed(stored);
      let images = 0;
      for (const { runId, bytes } of stored) {
        const run = { name, id: runId };
        if (key === null) await forgetting.drop([runId]);
        else images += await forgetRow(forgetting, (await runs.read(runId)).plan.base, runId, key);
        await history.record('forgotten', run, key === null ? { bytes } : { rows: 1 });
      }
      const bytes = key === null ? stored.reduce((sum, one) => sum + one.bytes, 0) : 0;
      return { runs: stored.length, images: key === null ? null : images, bytes };
    }).catch((error: unknown) => {
      if (codeOf(error) !== lockTimeout) throw error;
      throw fail('RUNNING', {
        message: 'what is stored is in use: a run stores more, or a rollback reads it',
        detail: 'nothing was removed',
        hint: 'run the command again when it is done',
        cause: error,
      });
    });
  }

  /** Removes what is stored for longer than the options of its migrations say, and what is restored. */
  async forgetExpired(): Promise<void> {
    await this.#inTurn(async ({ session, env }) => {
      const { forgetting, history } = env.ledger(session);
      const expired = new Set(await forgetting.expired());
      for (const { name, runId, bytes } of await forgetting.stored()) {
        if (!expired.has(runId)) continue;
        await forgetting.drop([runId]);
        await history.record('forgotten', { name, id: runId }, { bytes, by: 'itself' });
      }
    });
  }

  async #wanted(
    session: Session,
    files: readonly MigrationFile[],
    request: BaselineRequest,
  ): Promise<readonly string[]> {
    const known = files.map(({ name }) => name);
    if (request.kind === 'from') {
      return (await readOtherTool(session, request.tool, request.table, this.#config)).names;
    }
    const asked = request.kind === 'to' ? [request.name] : request.names;
    const unknown = asked.find((name) => !known.includes(name));
    if (unknown !== undefined) throw unknownName(unknown, known, 'known');
    return request.kind === 'to' ? known.slice(0, known.indexOf(request.name) + 1) : asked;
  }

  /** Does `work` in one transaction, in this host's turn: no other begins or ends anything in the meantime. */
  async #inTurn<T>(work: (turn: OwnTurn) => Promise<T>): Promise<T> {
    const { ledgerSchema } = this.#config;
    await this.#control.requirePrimary();
    const env = makeEnvironment(this.#config, await this.#control.use(readServer));
    const signal = AbortSignal.timeout(turnMs);
    let holder: string | null = null;
    const turn: TurnOptions = { waiting: (reason) => (holder = reason), signal };
    const changing = this.#control.use((session) =>
      withTransaction(session, env.pinned, async () => {
        await takeTurn(session, ledgerSchema, turn);
        await upgradeLedger(session, ledgerSchema);
        return await work({ session, env, turn, state: await readState(session, this.#config) });
      }),
    );
    return await changing.catch((error: unknown) => {
      if (!signal.aborted || error !== signal.reason) throw error;
      throw fail('RUNNING', {
        message: `gave up after waiting ${turnMs / 1_000} s for ${holder ?? 'another host'}`,
        detail: 'nothing was changed',
        hint: 'run the command again when it is done',
      });
    });
  }
}

interface OwnTurn {
  readonly session: Session;
  readonly env: RunEnvironment;
  readonly turn: TurnOptions;
  readonly state: LedgerState;
}

/** Legacy files need not be what this tool runs: what another tool has executed was a schema migration. */
async function factsOf(file: MigrationFile, { kind: from }: BaselineRequest): Promise<FileFacts> {
  const found = kindOf(file);
  const kind = await (from === 'from' ? found.catch(() => 'schema' as const) : found);
  return { name: file.name, kind, folder: folderOf(file.path), ...(await hashesOfFile(file)) };
}

type FileFacts = FileHashes & {
  readonly name: string;
  readonly kind: 'data' | 'schema';
  readonly folder: string;
};

/** Refuses to remove what a run is storing, or a rollback reads. */
function refuseUsed(stored: readonly StoredRun[]): void {
  const live = stored.find(({ isLive }) => isLive);
  if (live === undefined) return;
  throw fail('RUNNING', {
    message: `${live.name} is started but not done: what it stores cannot be removed`,
    detail: 'nothing was removed',
    hint: `finish it: umzug-cluster up; revert it: umzug-cluster down --name ${live.name}`,
  });
}

async function forgetRow(
  forgetting: Forgetting,
  { key: columns, name }: BaseTable,
  runId: string,
  key: readonly string[],
): Promise<number> {
  const names = columns.map((column) => `"${column.name}"`).join(', ');
  const refused = (detail: string | undefined): Error =>
    fail('USAGE', {
      message: `${key.join(', ')} is no key of "${name}": it has the columns ${names}`,
      detail,
      hint: 'give --key once for each of them, in their order',
    });
  if (key.length !== columns.length) throw refused(undefined);
  return await forgetting.dropRow(runId, columns, key).catch((error: unknown) => {
    throw codeOf(error)?.startsWith('22') === true ? refused(messageOf(error)) : error;
  });
}

function requireExecuted(name: string, { executed }: LedgerState): void {
  const names = executed.map((one) => one.name);
  if (!names.includes(name)) throw unknownName(name, names, 'executed');
}

function refuseLive(wanted: readonly MigrationFile[], { live }: LedgerState): void {
  const running = wanted.find(({ name }) => live.includes(name));
  if (running === undefined) return;
  throw fail('RUNNING', {
    message: `${running.name} is started but not done: it cannot be marked as executed`,
    detail: 'nothing was marked',
    hint: `finish it: umzug-cluster up; revert it: umzug-cluster down --name ${running.name}`,
  });
}

/** Opens the ledger's books, hands them to `work`, and closes the connection. */
export async function withLedgerAdmin<T>(
  config: Config,
  work: (books: LedgerAdmin) => Promise<T>,
): Promise<T> {
  const control = openControl(config);
  try {
    return await work(new LedgerAdmin(config, control));
  } finally {
    await control.close();
  }
}

/** Removes what is stored and not needed any more. Best effort: what is in use now is removed by the next command. */
export async function forgetExpired(config: Config, control: Control, logger: Logger): Promise<void> {
  await new LedgerAdmin(config, control).forgetExpired().catch((error: unknown) => {
    const reason = messageOf(error);
    logger.warn({ event: 'undo.kept', error: reason }, `stored values are kept longer: ${reason}`);
  });
}
