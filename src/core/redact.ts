// The greedy middle runs to the last @ of the word: a password may hold an unescaped @, / or #.
const urlPassword = /\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s]*@/gi;
const namedPassword = /\b((?:password|pgpassword|sslpassword)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;}]+)/gi;
// C0 and C1 controls, and the marks that turn the direction of text: they could rewrite a terminal's lines.
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Text that may be shown or logged: passwords of connection strings become `***`, control characters go. */
export function redact(text: string): string {
  return stripControls(text).replace(urlPassword, '$1***@').replace(namedPassword, '$1***');
}

/** Text without control characters except tab and newline. */
export function stripControls(text: string): string {
  return text.replace(ansi, '').replace(controls, '');
}

// oxlint-disable-next-line no-control-regex
const ansi = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007]*\u0007/g;
