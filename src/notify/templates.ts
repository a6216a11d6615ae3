import type { Notification } from './notification.ts';

/** Bodies that Slack's incoming webhooks and Teams' workflows take. */
export const templates = { slack, teams } as const;

function slack({ text, event }: Notification): object {
  // Its own marks for links and mentions: an error text must not call a channel.
  const plain = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return { text: `*${event}* ${plain}` };
}

/** An adaptive card. */
function teams({ text, event, at, by }: Notification): object {
  const block = (shown: string, looks: object): object => ({
    type: 'TextBlock',
    text: shown,
    wrap: true,
    ...looks,
  });
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [
      block(event, { weight: 'Bolder' }),
      block(text, {}),
      block(`${by.host}, ${at}`, { isSubtle: true }),
    ],
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] };
}
