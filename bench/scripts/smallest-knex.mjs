// The smallest script with knex that selects the rows and updates them: what a start costs at least.
import knex from 'knex';

const db = knex({ client: 'pg', connection: process.env.DATABASE_URL });
const rows = await db('properties').where({ property_date_type: 'dated' }).select('id');
const ids = rows.map(({ id }) => id);
await db('properties').whereIn('id', ids).update({ property_date_type: 'date-given' });
await db.destroy();
