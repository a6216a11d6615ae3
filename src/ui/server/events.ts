import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Overview, RunDetail } from '../api/contract.ts';
import { type Feed, type News, overviewEvent, runEvent } from '../api/feed.ts';

interface Message {
  readonly event: string;
  readonly data: unknown;
}

/** Server-sent events of one page. One that reads slowly gets fewer of them. */
export function sendEvents(c: Context, feed: Feed, run: string | null): Response {
  // Or nginx would keep them back.
  c.header('x-accel-buffering', 'no');
  return streamSSE(c, async (stream) => {
    const messageOf = run === null ? overviewMessages() : runMessages(run);
    let latest: News | null = null;
    let isWriting = false;
    const write = async (): Promise<void> => {
      if (isWriting) return;
      isWriting = true;
      for (; latest !== null && !stream.closed;) {
        const news: News = latest;
        latest = null;
        const { event, data } = messageOf(news);
        await stream.writeSSE({ event, data: JSON.stringify(data) });
      }
      isWriting = false;
    };
    const gone = new Promise<void>((resolve) => stream.onAbort(resolve));
    const tell = (news: News): void => {
      latest = news;
      void write();
    };
    const stop = feed.watch({ run, tell });
    await gone;
    stop();
  });
}

function overviewMessages(): (news: News) => Message {
  let before: Overview | null = null;
  return (news) => {
    if (news.kind === 'unavailable') {
      before = null;
      return { event: 'unavailable', data: news.unavailable };
    }
    const message = overviewEvent(before, news.look.overview);
    before = news.look.overview;
    return message;
  };
}

function runMessages(id: string): (news: News) => Message {
  let before: RunDetail | null = null;
  return (news) => {
    const now = news.kind === 'look' ? (news.look.details.get(id) ?? null) : null;
    if (now !== null) {
      const message = runEvent(before, now);
      before = now;
      return message;
    }
    before = null;
    const unknown = { error: `there is no run or migration "${id}"`, hint: null, since: Date.now() };
    return { event: 'unavailable', data: news.kind === 'look' ? unknown : news.unavailable };
  };
}
