import type { SchemaStep } from 'umzug-cluster';

// 62,000 'dated' rows, as many as the table had where this began, and 8,000 of other types.
export const up: SchemaStep = async (db) => {
  await db.raw(`
    insert into properties
      (title, street, city, postal_code, country, price, rooms, attributes, property_date_type, property_date)
    select 'Property ' || n,
           n % 200 + 1 || ' ' || (array['High', 'Mill', 'Church', 'Station', 'Park'])[n % 5 + 1] || ' Street',
           (array['Utrecht', 'Ghent', 'Leipzig', 'Porto', 'Graz', 'Turku'])[n % 6 + 1],
           lpad((n * 7 % 99999)::text, 5, '0'),
           (array['NL', 'BE', 'DE', 'PT', 'AT', 'FI'])[n % 6 + 1],
           100000 + n * 37 % 900000,
           n % 7 + 1,
           jsonb_build_object('garden', n % 3 = 0, 'floors', n % 4 + 1),
           case when n <= 62000 then 'dated' else (array['date-given', 'undated', 'circa'])[n % 3 + 1] end,
           date '1900-01-01' + n % 40000
    from generate_series(1, 70000) as n`);
  await db.raw('analyze properties');
};

export const down: SchemaStep = (db) => db('properties').delete();
