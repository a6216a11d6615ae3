// graphile-worker with one job a chunk.
import { makeWorkerUtils, runOnce } from 'graphile-worker';
import { chunksOfKeys, migrate } from './chunks.mjs';

const options = { connectionString: process.env.DATABASE_URL, noHandleSignals: true };
const utils = await makeWorkerUtils(options);
await utils.migrate();
for (const ids of await chunksOfKeys()) await utils.addJob('chunk', { ids });
await utils.release();
await runOnce({
  ...options,
  concurrency: 4,
  taskList: {
    chunk: ({ ids }, { withPgClient }) => withPgClient((client) => migrate(client, ids)),
  },
});
