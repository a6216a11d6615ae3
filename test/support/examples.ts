/** The tables that the examples of the documents speak of. */
export const tables = `
  create table properties (uuid uuid primary key default gen_random_uuid(), property_date_type text);
  insert into properties (property_date_type)
    select case when i % 4 = 0 then 'other' else 'dated' end from generate_series(1, 400) as i;
  create table people (id bigint primary key, name text, slug text, score int);
  insert into people (id, name, score) select i, 'Name ' || i, i from generate_series(1, 200) as i;`;
