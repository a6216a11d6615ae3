// The usual hand-written script for all cores: the primary loads all keys and sends each worker its share.
import cluster from 'node:cluster';
import os from 'node:os';
import pg from 'pg';

const client = new pg.Client(process.env.DATABASE_URL);
if (cluster.isPrimary) {
  await client.connect();
  const { rows } = await client.query(`select id from properties where property_date_type = 'dated'`);
  await client.end();
  const workers = os.availableParallelism();
  const share = Math.ceil(rows.length / workers);
  for (let n = 0; n < workers; n++) {
    const keys = rows.slice(n * share, (n + 1) * share).map(({ id }) => id);
    const worker = cluster.fork();
    // it asks, since what is sent before it listens is lost
    worker.once('message', () => worker.send(keys));
    worker.once('exit', (code) => {
      if (code !== 0) process.exitCode = 1;
    });
  }
} else {
  process.once('message', (keys) => void migrate(keys));
  process.send('ready');
}

async function migrate(keys) {
  await client.connect();
  for (const id of keys) {
    await client.query(`update properties set property_date_type = 'date-given' where id = $1`, [id]);
  }
  await client.end();
  process.disconnect();
}
