import { createHash } from 'node:crypto';

/** A text that is HTML already. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Piece = Html | string | number | null | readonly Piece[];

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * The one way to make HTML: whatever is put into it is escaped, unless it was made in this way itself. It is not called
 * `html`, or the formatter would change what it makes.
 */
export function markup(parts: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  return new Html(parts.map((part, index) => part + textOf(pieces[index] ?? null)).join(''));
}

function textOf(piece: Piece): string {
  if (piece === null) return '';
  if (piece instanceof Html) return piece.text;
  if (typeof piece === 'object') return piece.map(textOf).join('');
  return String(piece).replaceAll(/[&<>"']/g, (one) => entities[one] ?? '');
}

const css = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; overflow-wrap: anywhere; }
th { white-space: nowrap; }
pre, code, .value { font-family: ui-monospace, monospace; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { color: GrayText; } dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; border: 1px solid #8884; } svg text { font-size: 11px; fill: currentColor; }
.line { fill: none; stroke: #1668c4; stroke-width: 1.5; } .done { fill: #2a8a4a; } .open { fill: #8886; } .active { fill: #1668c4; }
.quarantined { fill: #c8322b; } .error { color: #c8322b; } .changed { background: #e0a80030; }
footer { margin-top: 2rem; color: GrayText; font-size: .85rem; }`;

const hash = createHash('sha256').update(css).digest('base64');

/** The policy of such a file: it loads nothing, and runs nothing. */
export const documentPolicy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;

/** A whole file that needs no other. */
export function documentOf(title: string, body: Piece): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${documentPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Html(css)}</style>
</head>
<body>
${body}
</body>
</html>
`.text;
}

/** A table; without rows nothing. */
export function tableOf(head: readonly string[], rows: readonly (readonly Piece[])[]): Html {
  if (rows.length === 0) return markup``;
  const cells = rows.map((row) => markup`<tr>${row.map((cell) => markup`<td>${cell}</td>`)}</tr>\n`);
  const heads = head.map((one) => markup`<th scope="col">${one}</th>`);
  return markup`<table>\n<thead><tr>${heads}</tr></thead>\n<tbody>\n${cells}</tbody>\n</table>`;
}

/** Names with their values; what is null is left out. */
export function factsOf(facts: readonly (readonly [name: string, value: Piece])[]): Html {
  const known = facts.filter(([, value]) => value !== null);
  return markup`<dl>\n${known.map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>\n`)}</dl>`;
}
