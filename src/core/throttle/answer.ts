import { stripControls } from '../errors/redact.ts';
import type { Response, Signal } from './signal.ts';

const longest = 200;

/**
 * What an answer of a probe of the user's asks for. Nothing, 0 and false let a run work; true and any other number hold
 * it; a text is the reason to hold it, unless it begins with `slow:` or `abort:`.
 */
export function signalOf(probe: string, answer: unknown): Signal | null {
  if (answer === null || answer === undefined || answer === false || answer === '') return null;
  if (answer === 0 || answer === '0' || answer === 0n) return null;
  if (typeof answer !== 'string') return asked(probe, 'hold', answer === true ? '' : String(answer));
  const [line = ''] = answer.trim().split('\n');
  if (line === '') return null;
  const [, word = 'hold', reason = line] = /^(slow|hold|abort)\b:?\s*(.*)$/i.exec(line) ?? [];
  return asked(probe, word.toLowerCase() as Response, reason);
}

/** A signal of a probe of the user's. */
export function asked(probe: string, response: Response, reason: string): Signal {
  const text = stripControls(reason).slice(0, longest);
  const kind = text === '' ? `asked to ${response === 'slow' ? 'slow down' : response}` : text;
  return {
    kind: `${probe}: ${kind.replaceAll(/\d+/g, '#')}`,
    text: `${probe}: ${kind}`,
    response,
    isLoad: false,
  };
}
