import type { Ended } from '../command/command.ts';
import type { CheckName, CheckResult } from '../contract/contract.ts';

/** How a check ended, with the message that says why. */

export function passed(name: CheckName): CheckResult {
  return { name, outcome: 'passed', message: null };
}

export function failed(name: CheckName, message: string): CheckResult {
  return { name, outcome: 'failed', message };
}

export function skipped(name: CheckName, reason: string): CheckResult {
  return { name, outcome: 'skipped', message: reason };
}

/** The check that a command ends well. */
export function fromCommand(name: CheckName, ended: Ended): CheckResult {
  if (ended.kind === 'done') return passed(name);
  return failed(name, ended.kind === 'failed' ? ended.message : 'its process was killed');
}

/** The check that there is no difference. */
export function ofDifference(
  name: CheckName,
  difference: string | null,
  { what, hint }: { readonly what: string; readonly hint: string },
): CheckResult {
  return difference === null ? passed(name) : failed(name, `${what}\n    ${difference}\n    hint: ${hint}`);
}
