import uPlot from 'uplot';

// What scripts/finish-build.mjs copies from the package uplot, with an export.
export { uPlot };
