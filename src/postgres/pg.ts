import { createRequire } from 'node:module';

/**
 * pg, required: imported, Node would first read it for the names that it exports, as it does with every
 * CommonJS package, and start a WebAssembly lexer for that: 30 ms of each start.
 */
export const pg = createRequire(import.meta.url)('pg') as typeof import('pg');
