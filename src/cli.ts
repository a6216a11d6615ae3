#!/usr/bin/env node
/** The entry of the command. It imports nothing: its own files may be more than the process may open. */
try {
  await import('./command-line.ts');
} catch (error) {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  if (code !== 'EMFILE' && code !== 'ENFILE') throw error;
  process.stderr.write(
    'error: too many open files: this process cannot even load its own\n  hint: raise the limit, such as with ulimit -n 1024, and run it again\n',
  );
  process.exitCode = 2;
}
