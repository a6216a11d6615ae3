import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Context } from 'hono';

interface PageFile {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
  gzipped: Uint8Array<ArrayBuffer> | null;
}

/** What a browser loads of the page, by path: `index.html`. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
};

/** Reads the files of the page, which are few and small. */
export function readPage(folder = path.join(import.meta.dirname, '..', 'page')): PageFiles {
  const files = new Map<string, PageFile>();
  if (!existsSync(folder)) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = types[path.extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const file = path.join(entry.parentPath, entry.name);
    const body = new Uint8Array(readFileSync(file));
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    files.set(path.relative(folder, file).replaceAll(path.sep, '/'), { body, type, etag, gzipped: null });
  }
  return files;
}

/** Answers with a file of the page; a browser keeps it, and asks each time whether it has changed. */
export function sendFile(c: Context, files: PageFiles): Response {
  const file = files.get(c.req.path === '/' ? 'index.html' : c.req.path.slice(1));
  if (file === undefined) return c.text('not found', 404);
  const headers = {
    'content-type': file.type,
    etag: file.etag,
    'cache-control': 'no-cache',
    vary: 'accept-encoding',
  };
  if (c.req.header('if-none-match') === file.etag) return c.body(null, 304, headers);
  if (c.req.header('accept-encoding')?.includes('gzip') !== true) return c.body(file.body, 200, headers);
  file.gzipped ??= new Uint8Array(gzipSync(file.body));
  return c.body(file.gzipped, 200, { ...headers, 'content-encoding': 'gzip' });
}
