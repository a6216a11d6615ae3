// What scripts/finish-build.mjs copies from the package htm: Preact, its hooks and htm in one file.
export * from 'htm/preact';
