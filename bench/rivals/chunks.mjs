// What a job queue needs first: the keys of all rows, cut into chunks; and what its worker does with one.
import pg from 'pg';

const chunkSize = 1_000;

export async function chunksOfKeys() {
  const client = new pg.Client(process.env.DATABASE_URL);
  await client.connect();
  const { rows } = await client.query(
    `select id from properties where property_date_type = 'dated' order by id`,
  );
  await client.end();
  const ids = rows.map(({ id }) => id);
  return Array.from({ length: Math.ceil(ids.length / chunkSize) }, (_, n) =>
    ids.slice(n * chunkSize, (n + 1) * chunkSize),
  );
}

export async function migrate(client, ids) {
  await client.query(`update properties set property_date_type = 'date-given' where id = any ($1)`, [ids]);
}
