import { expect, it } from 'vitest';
import type { NotifyTarget } from '../../src/config/notify.ts';
import { type Notification, joined, notificationOf } from '../../src/notify/notification.ts';
import { Notifier } from '../../src/notify/notifier.ts';
import { templates } from '../../src/notify/templates.ts';
import { running } from '../support/running.ts';

const about = { migration: running.migration, direction: 'up', runId: '7' } as const;
const quarantined = (key: string): Notification =>
  notificationOf(
    'quarantined',
    { ...about, event: 'quarantined', detail: { key: [key], error: 'no', sqlstate: null, attempts: 3 } },
    { database: 'db:5432/shop', progress: null },
  );

it('says in a sentence what happened, where, and how the run stood', () => {
  const failed = { ...about, event: 'failed', detail: { error: 'no <b> at postgres://u:word@db/shop' } };
  const { text, detail } = notificationOf('failed', failed, { database: 'db:5432/shop', progress: running });
  expect(text).toBe(
    `${running.migration}: failed: no <b> at postgres://u:***@db/shop; 31,000 rows (50%) after 1.7 s [db:5432/shop]`,
  );
  expect(detail).toEqual({ error: 'no <b> at postgres://u:***@db/shop' });
});

it('says nothing of the progress of another migration', () => {
  const other = { ...about, migration: 'other', event: 'paused', detail: {} };
  const { progress, text } = notificationOf('paused', other, { database: 'db', progress: running });
  expect([progress, text]).toEqual([null, 'other: paused [db]']);
});

it('joins quarantined rows of a run that wait, up to a hundred', () => {
  const two = joined(quarantined('1'), quarantined('2'));
  expect(two).toMatchObject({ detail: { rows: [{ key: ['1'] }, { key: ['2'] }] } });
  expect(two?.text).toContain('2 rows quarantined (1; 2)');
  let all = quarantined('0');
  for (let key = 1; key < 100; key += 1) all = joined(all, quarantined(String(key))) ?? all;
  expect(all.detail['rows']).toHaveLength(100);
  expect(joined(all, quarantined('100'))).toBeNull();
  expect(joined(quarantined('1'), { ...quarantined('2'), run: '8' })).toBeNull();
});

it('has a text for Slack that mentions nobody, and a card for Teams', () => {
  const done = { ...quarantined('1'), text: 'a: <!channel> & more' };
  expect(templates.slack(done)).toEqual({ text: '*quarantined* a: &lt;!channel&gt; &amp; more' });
  const [card] = (templates.teams(done) as { attachments: { content: { type: string; body: unknown[] } }[] })
    .attachments;
  expect(card?.content.type).toBe('AdaptiveCard');
  expect(card?.content.body).toContainEqual(expect.objectContaining({ type: 'TextBlock', text: done.text }));
});

it('tells of a run that is held back, if this host is the one to tell', async () => {
  for (const isTeller of [true, false]) {
    const told: unknown[] = [];
    const target: NotifyTarget = { kind: 'function', call: (one) => void told.push(one) };
    const notifier = new Notifier(
      { targets: { throttled: [target] }, throttledAfterMs: 1_000 },
      'db',
      ({ error }) => expect.fail(error),
    );
    for (const elapsedMs of [0, 999, 1_000, 1_001]) {
      notifier.progress({ ...running, elapsedMs }, '7', { held: 'replica two', isTeller });
    }
    await notifier.end();
    const detail = { reason: 'replica two', forSeconds: 1 };
    expect(told).toMatchObject(isTeller ? [{ event: 'throttled', run: '7', detail }] : []);
  }
});

it('keeps a hundred messages for a target that does not answer, and gives all of them up at the end', async () => {
  const target: NotifyTarget = { kind: 'function', call: () => new Promise(() => undefined) };
  const errors: string[] = [];
  const config = { targets: { paused: [target] }, throttledAfterMs: 1 };
  const notifier = new Notifier(config, 'db', ({ error }) => errors.push(error));
  for (let told = 0; told < 103; told += 1) notifier.tell({ ...about, event: 'paused', detail: {} });
  expect(errors).toEqual(['100 others were waiting', '100 others were waiting']);
  notifier.hurry('abort');
  await notifier.end();
  expect(errors).toHaveLength(103);
});
