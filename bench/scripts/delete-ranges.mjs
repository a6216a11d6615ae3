// What is usually written by hand: old rows are deleted by ranges of the key, one transaction each.
import pg from 'pg';

const [above, upTo, keys] = process.argv.slice(2).map(Number);
const client = new pg.Client(process.env.DATABASE_URL);
await client.connect();
for (let at = above; at < upTo; at += keys) {
  await client.query('delete from events where id > $1 and id <= $2 and created_at < $3', [
    at,
    Math.min(at + keys, upTo),
    '2026-01-01T00:00:00Z',
  ]);
}
await client.end();
