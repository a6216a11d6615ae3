import { expect } from 'vitest';
import {
  type EventFields,
  type FieldKind,
  type LogEvent,
  logEvents,
} from '../../src/core/config/log-events.ts';

/** A line that `--log-format json` has written, with all that the table of events says of it. */
export type WrittenRecord = {
  [Event in LogEvent]: {
    readonly event: Event;
    readonly level: string;
    readonly pid: number;
    readonly msg?: string;
  } & EventFields<Event>;
}[LogEvent];

/** The record of one event. */
export type RecordOf<Event extends LogEvent> = Extract<WrittenRecord, { readonly event: Event }>;

// What pino adds to each record.
const added = ['level', 'time', 'pid', 'hostname', 'event'];

const holds: Readonly<Record<FieldKind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  number: (value) => Number.isFinite(value),
  texts: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  'texts or null': (value) =>
    value === null || (Array.isArray(value) && value.every((one) => typeof one === 'string')),
  'text or null': (value) => value === null || typeof value === 'string',
  'number or null': (value) => value === null || Number.isFinite(value),
  'object or null': (value) => typeof value === 'object',
};

/** The records on stderr, in order. Fails where a line is none, or not as the table of events says. */
export function recordsIn(stderr: string): readonly WrittenRecord[] {
  return stderr
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      expect(line, 'a line that is no record').toMatch(/^\{/);
      const record = JSON.parse(line) as WrittenRecord;
      // A key that is there twice would be there once after that.
      expect(JSON.stringify(record)).toBe(line);
      expectKnown(record);
      return record;
    });
}

/** The records of one event. */
export function recordsOf<Event extends LogEvent>(
  records: readonly WrittenRecord[],
  event: Event,
): readonly RecordOf<Event>[] {
  return records.filter((record): record is RecordOf<Event> => record.event === event);
}

function expectKnown(record: WrittenRecord): void {
  const found = logEvents[record.event];
  expect(found, `event ${record.event}`).toBeDefined();
  const { level, fields } = found;
  if (level !== 'any') expect(record.level, record.event).toBe(level);
  expect(
    Object.keys(record)
      .filter((key) => key !== 'msg')
      .toSorted(),
    record.event,
  ).toEqual([...added, ...Object.keys(fields)].toSorted());
  for (const [name, kind] of Object.entries(fields)) {
    const value: unknown = Reflect.get(record, name);
    expect(holds[kind](value), `${record.event}.${name} holds ${kind}: ${JSON.stringify(value)}`).toBe(true);
  }
}
