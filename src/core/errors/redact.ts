const namedPassword = /\b((?:password|pgpassword|sslpassword)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;}]+)/gi;
// C0 and C1 controls, and the marks that turn the direction of text: they could rewrite a terminal's lines.
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

// Of arguments that a migration declares as secret; of the process: whoever says something in it leaves them out. The
// longest first: one may be a part of another.
let secrets: readonly string[] = [];

/** From now on `***` replaces this text in all that the process shows, logs and records, also inside of JSON. */
export function keepSecret(text: string): void {
  const forms = [text, JSON.stringify(text).slice(1, -1)];
  secrets = [...new Set([...secrets, ...forms])].toSorted((one, other) => other.length - one.length);
}

/** Text without the secrets of this process. */
export function withoutSecrets(text: string): string {
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text);
}

/** A document of JSON without them. */
export function documentWithoutSecrets<Document>(document: Document): Document {
  return secrets.length === 0 ? document : (JSON.parse(withoutSecrets(JSON.stringify(document))) as Document);
}

/** Text that may be shown or logged: passwords of connection strings and secrets become `***`, control characters go. */
export function redact(text: string): string {
  const clean = stripControls(withoutSecrets(text));
  const shown = clean.includes('://') ? clean.split('\n').map(withoutLogins).join('\n') : clean;
  return shown.replace(namedPassword, '$1***');
}

/**
 * A line without the passwords of its URLs. A password that is not encoded may hold any character: it ends at the
 * last @ of the word, and in a URL of Postgres at the last @ of the line. One pass: log records may be long.
 */
function withoutLogins(line: string): string {
  const lastAt = line.lastIndexOf('@');
  let shown = '';
  let from = 0;
  for (let at = line.indexOf('://'); at >= 0 && at < lastAt; at = line.indexOf('://', from)) {
    const login = at + '://'.length;
    const isPostgres = /postgres(?:ql)?$/i.test(line.slice(Math.max(0, at - 10), at));
    const end = isPostgres ? line.length : endOfWord(line, login);
    const last = isPostgres ? lastAt : login + line.slice(login, end).lastIndexOf('@');
    const colon = line.indexOf(':', login);
    const hides = colon >= 0 && colon < last;
    shown += hides ? `${line.slice(from, colon)}:***` : line.slice(from, isPostgres ? login : end);
    from = hides ? last : isPostgres ? login : end;
  }
  return shown + line.slice(from);
}

function endOfWord(line: string, from: number): number {
  const blank = /\s/g;
  blank.lastIndex = from;
  return blank.exec(line)?.index ?? line.length;
}

/** Text without control characters except tab and newline. */
export function stripControls(text: string): string {
  return text.replace(ansi, '').replace(controls, '');
}

// Nothing reaches over the next escape: each is read once, however many are never closed.
// oxlint-disable-next-line no-control-regex
const ansi = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g;
