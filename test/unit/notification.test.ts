import { expect, it } from 'vitest';
import { type Notification, joined, notificationOf } from '../../src/notify/notification.ts';
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
