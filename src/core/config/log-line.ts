/** A record as a person reads it: time and level, a sentence, and the fields where there is no sentence. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

interface Look {
  readonly color: boolean;
  /** Show the fields beside the sentence, too. */
  readonly fields: boolean;
}

const colors: Readonly<Record<string, number>> = { debug: 34, info: 32, warn: 33, error: 31 };

/** `12:03:41 INFO sku-norm: up`, in one line, without its end. The time is local. */
export function logLine(record: LogLine, look: Look): string {
  const { level, time } = record;
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) =>
    String(part).padStart(2, '0'),
  );
  const label = level.toUpperCase();
  const paint = (code: number, text: string): string =>
    look.color ? `\u001b[${code}m${text}\u001b[0m` : text;
  return `${paint(2, clock.join(':'))} ${paint(colors[level] ?? 0, label)} ${said(record, look)}`;
}

const shownElsewhere: ReadonlySet<string> = new Set(['level', 'time', 'pid', 'hostname', 'msg']);

/** What a record says, without time and level. */
export function said(record: LogLine, look: Pick<Look, 'fields'>): string {
  const { msg } = record;
  const sentence = msg === undefined ? [] : [msg.replace(/\s*\n\s*/g, ' ')];
  if (!look.fields && msg !== undefined) return sentence.join('');
  const fields = Object.entries(record).filter(([name]) => !shownElsewhere.has(name));
  return [...sentence, JSON.stringify(Object.fromEntries(fields))].join(' ');
}
