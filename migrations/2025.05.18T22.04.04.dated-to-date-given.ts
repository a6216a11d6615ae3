import type { Down, Select, Update } from 'umzug-cluster';

interface Property {
  uuid: string;
  property_date_type: string;
}

export const select: Select<Property> = (db) =>
  db('properties').select('uuid', 'property_date_type').where('property_date_type', 'dated');

export const update: Update<Property> = (db, rows) =>
  db('properties')
    .whereRaw('uuid = any (?)', [rows.map((row) => row.uuid)])
    .update({ property_date_type: 'date-given', property_date_type_before: 'dated' });

// Only the rows that `update` changed: others were 'date-given' from the start.
export const down: Down<Property> = {
  select: (db) =>
    db('properties').select('uuid', 'property_date_type').where('property_date_type_before', 'dated'),
  update: (db, rows) =>
    db('properties')
      .whereRaw('uuid = any (?)', [rows.map((row) => row.uuid)])
      .update({ property_date_type: 'dated', property_date_type_before: null }),
};
