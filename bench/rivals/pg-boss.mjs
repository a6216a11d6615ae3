// pg-boss with one job a chunk. Its polling at most twice a second is what it allows; hence batches of jobs.
import pg from 'pg';
import PgBoss from 'pg-boss';
import { chunksOfKeys, migrate } from './chunks.mjs';

const queue = 'chunks';
const boss = new PgBoss(process.env.DATABASE_URL);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
boss.on('error', (error) => {
  throw error;
});
await boss.start();
await boss.createQueue(queue);
const chunks = await chunksOfKeys();
await boss.insert(chunks.map((ids) => ({ name: queue, data: { ids } })));
let left = chunks.length;
await new Promise((resolve) => {
  void boss.work(queue, { batchSize: 50, pollingIntervalSeconds: 0.5 }, async (jobs) => {
    await Promise.all(jobs.map(({ data }) => migrate(pool, data.ids)));
    left -= jobs.length;
    if (left === 0) resolve();
  });
});
await boss.stop({ graceful: true, wait: true });
await pool.end();
