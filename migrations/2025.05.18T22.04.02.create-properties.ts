import type { SchemaStep } from 'umzug-cluster';

export const up: SchemaStep = (db) =>
  db.schema.createTable('properties', (table) => {
    table.uuid('uuid').primary().defaultTo(db.raw('gen_random_uuid()'));
    table.text('title').notNullable();
    table.text('street').notNullable();
    table.text('city').notNullable();
    table.string('postal_code', 10).notNullable();
    table.specificType('country', 'char(2)').notNullable();
    table.decimal('price', 12, 2);
    table.integer('rooms');
    table.boolean('is_listed').notNullable().defaultTo(true);
    table.jsonb('attributes').notNullable().defaultTo('{}');
    table.text('property_date_type').notNullable();
    table.date('property_date');
    // Where the data migration keeps what it replaced, so that `down` brings back just those rows.
    table.text('property_date_type_before');
    table.timestamp('created_at').notNullable().defaultTo(db.fn.now());
  });

export const down: SchemaStep = (db) => db.schema.dropTable('properties');
