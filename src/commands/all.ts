import type { Command } from './frame/command.ts';
import { baseline } from './ledger/baseline.ts';
import { cancel } from './control/cancel.ts';
import { completion } from './project/completion.ts';
import { create } from './project/create.ts';
import { down } from './run/down.ts';
import { embedded } from './project/embedded.ts';
import { executed } from './look/executed.ts';
import { forget } from './ledger/forget.ts';
import { history } from './look/history.ts';
import { init } from './project/init.ts';
import { pause } from './control/pause.ts';
import { pending } from './look/pending.ts';
import { plan } from './look/plan.ts';
import { prune } from './ledger/prune.ts';
import { repair } from './ledger/repair.ts';
import { resume } from './control/resume.ts';
import { retry } from './run/retry.ts';
import { set } from './control/set.ts';
import { status } from './look/status.ts';
import { ui } from './look/ui.ts';
import { up } from './run/up.ts';
import { validate } from './look/validate.ts';
import { verify } from './look/verify.ts';
import { worker } from './run/worker.ts';

/** Every command, in the order in which `--help` lists them. */
export const commands: readonly Command[] = [
  up,
  down,
  worker,
  plan,
  pending,
  executed,
  create,
  init,
  status,
  history,
  ui,
  pause,
  resume,
  cancel,
  set,
  retry,
  verify,
  validate,
  repair,
  baseline,
  prune,
  forget,
  embedded,
  completion,
];
