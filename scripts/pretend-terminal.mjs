// Preloaded (`node --import`): the command believes that its pipes are a terminal of so many columns and rows.
const [columns, rows] = (process.env.PRETEND_TERMINAL ?? '80x24').split('x').map(Number);
for (const stream of [process.stdout, process.stderr]) Object.assign(stream, { isTTY: true, columns, rows });
