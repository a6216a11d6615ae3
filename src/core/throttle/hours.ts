/** Hours of a day in which a run may work, in a time zone of the IANA database. */
export interface Hours {
  /** As written: `22:00-06:00`. */
  readonly text: string;
  readonly timeZone: string;
  /** Minutes of the day, from inclusive, to exclusive; those that end before they begin last until the next day. */
  readonly spans: readonly (readonly [from: number, to: number])[];
}

const dayMinutes = 1_440;

/** Reads `22:00-06:00`; null: it is none, or of no length. */
export function parseSpan(text: string): readonly [number, number] | null {
  const [, ...parts] = /^(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})$/.exec(text.trim()) ?? [];
  const [fromHour = NaN, fromMinute = NaN, toHour = NaN, toMinute = NaN] = parts.map(Number);
  const [from, to] = [fromHour * 60 + fromMinute, toHour * 60 + toMinute];
  const isTime = (minutes: number): boolean => minutes >= 0 && minutes <= dayMinutes;
  const isFine = fromMinute < 60 && toMinute < 60 && isTime(from) && isTime(to);
  return isFine && from !== to && from < dayMinutes ? [from, to] : null;
}

/** Whether a moment, in milliseconds since 1970, is within the hours. */
export function isWithin({ spans, timeZone }: Hours, atMs: number): boolean {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const [hour = 0, minute = 0] = format.format(atMs).split(':').map(Number);
  const now = hour * 60 + minute;
  return spans.some(([from, to]) => (from < to ? now >= from && now < to : now >= from || now < to));
}

/** Whether this is a time zone that can be computed with. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-GB', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
