// One process, one UPDATE a row: what most teams write first.
import pg from 'pg';

const client = new pg.Client(process.env.DATABASE_URL);
await client.connect();
const { rows } = await client.query(`select id from properties where property_date_type = 'dated'`);
for (const { id } of rows) {
  await client.query(`update properties set property_date_type = 'date-given' where id = $1`, [id]);
}
await client.end();
