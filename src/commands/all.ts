import type { Command } from './command.ts';
import { baseline } from './baseline.ts';
import { cancel } from './cancel.ts';
import { create } from './create.ts';
import { down } from './down.ts';
import { executed } from './executed.ts';
import { init } from './init.ts';
import { pause } from './pause.ts';
import { pending } from './pending.ts';
import { plan } from './plan.ts';
import { repair } from './repair.ts';
import { resume } from './resume.ts';
import { retry } from './retry.ts';
import { set } from './set.ts';
import { status } from './status.ts';
import { up } from './up.ts';
import { validate } from './validate.ts';
import { verify } from './verify.ts';

/** Every command, in the order in which `--help` lists them. */
export const commands: readonly Command[] = [
  up,
  down,
  plan,
  pending,
  executed,
  create,
  init,
  status,
  pause,
  resume,
  cancel,
  set,
  retry,
  verify,
  validate,
  repair,
  baseline,
];
