import { place } from '../key/key.ts';
import {
  type About,
  type Recipe,
  type RecipeTest,
  type Step,
  addColumn,
  emptied,
  schemaStep,
  seeded,
  setStep,
  uniqueIndex,
} from './recipe.ts';

/** Recipes that involve other tables, or delete rows. */

export const splitTable: Recipe = {
  describe: 'columns into a table of their own',
  table: 'people',
  steps: (about) => [
    {
      suffix: 'expand',
      text: schemaStep(about.language, {
        comment: 'From its deploy on the application writes both tables.',
        up: `
  create table ${about.table}_addresses (
    ${about.table}_${about.key} bigint primary key references ${about.table} (${about.key}) on delete cascade,
    street text,
    city text
  )`,
        down: `drop table ${about.table}_addresses`,
      }),
    },
    {
      suffix: 'backfill',
      isData: true,
      text: setStep(about.language, {
        comment: 'Rows that the application has written there already are kept as they are.',
        select: `db('${about.table}').select('${about.key}', 'street', 'city').whereNotNull('street')`,
        update: `
  db.raw(
    'insert into ${about.table}_addresses (${about.table}_${about.key}, street, city) select ${about.key}, street, city from ? c on conflict do nothing',
    [chunk],
  )`,
        verify: `
  db('${about.table}')
    .whereNotNull('street')
    .whereNotExists(db('${about.table}_addresses').whereRaw('${about.table}_${about.key} = ${about.table}.${about.key}'))`,
        down: {
          select: `db('${about.table}').select('${about.key}').whereNotNull('street')`,
          update: `db('${about.table}_addresses').whereIn('${about.table}_${about.key}', chunk).delete()`,
        },
      }),
    },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} bigint primary key, street text, city text)`,
    seed: seeded(about, `street: \`street \${no}\`, city: 'x'`),
    isDone: `select count(*) = 20 and bool_and(street = 'street ' || ${about.table}_${about.key}) as done from ${about.table}_addresses`,
  }),
};

export const denormalise: Recipe = {
  describe: 'a value of another table kept in this one',
  table: 'orders',
  steps: (about) => [
    addColumn(about, {
      column: 'customer_name text',
      comment:
        'From its deploy on the application writes the name of new rows, and of rows whose customer is renamed.',
    }),
    {
      suffix: 'backfill',
      isData: true,
      text: setStep(about.language, {
        comment: 'One UPDATE … FROM a chunk.',
        select: `
  db('${about.table}')
    .join('customers', 'customers.id', '${about.table}.customer_id')
    .select('${about.table}.${about.key}', 'customers.name')
    .whereNull('${about.table}.customer_name')`,
        update: `
  db.raw('update ${about.table} set customer_name = c.name from ? c where ${about.table}.${about.key} = c.${about.key}', [chunk])`,
        down: emptied(about, 'customer_name'),
      }),
    },
  ],
  test: (about) => ({
    schema: `
      create table customers (id int primary key, name text not null);
      insert into customers select n, 'customer ' || n from generate_series(0, 4) as n;
      create table ${about.table} (${about.key} int primary key, customer_id int references customers)`,
    seed: seeded(about, `customer_id: no % 5`),
    isDone: `select bool_and(customer_name = 'customer ' || customer_id) as done from ${about.table}`,
  }),
};

export const resetCounters: Recipe = {
  describe: 'counts of child rows that have drifted',
  table: 'posts',
  steps: (about) => {
    const counted = `(select count(*) from comments where comments.post_id = ${about.table}.${about.key})`;
    return [
      {
        suffix: 'backfill',
        isData: true,
        text: setStep(about.language, {
          comment:
            'Only rows that are wrong. What the application counts during the run waits for\nthe lock of its row. It cannot be rolled back: the values before were wrong.',
          select: `
  db('${about.table}').whereRaw('comments_count is distinct from ${counted}')`,
          update: `
  chunk.update({
    comments_count: db.raw('${counted}'),
  })`,
          verify: `
  db('${about.table}').whereRaw('comments_count is distinct from ${counted}')`,
        }),
      },
    ];
  },
  test: (about) => ({
    schema: `
      create table ${about.table} (${about.key} int primary key, comments_count int not null);
      create table comments (id int primary key, post_id int not null);
      insert into comments select n, n % 5 from generate_series(1, 50) as n`,
    seed: seeded(about, `comments_count: no % 3`),
    isDone: `select bool_and(comments_count = (select count(*) from comments where post_id = ${about.table}.${about.key})) as done from ${about.table}`,
  }),
};

function keysOf({ key, keys = [key] }: About): readonly string[] {
  return keys;
}

function sameKey(about: About): string {
  return keysOf(about)
    .map((key) => `${about.table}.${key} = c.${key}`)
    .join(' and ');
}

/** The key's columns but the time, for the table of the test; the first of them is `key`. */
function ints(about: About): readonly string[] {
  const names = new Set([about.key, ...keysOf(about)].filter((key) => key !== 'created_at'));
  return [...names].map((key) => `${key} int`);
}

export const purge: Recipe = {
  describe: 'old rows moved to an archive, or deleted',
  table: 'events',
  takesKeys: true,
  steps: (about) => [
    {
      suffix: 'archive',
      text: schemaStep(about.language, {
        comment: 'Where the rows go. Leave it out to delete them for good.',
        up: `create table ${about.table}_archive (like ${about.table} including defaults)`,
        down: `drop table ${about.table}_archive`,
      }),
    },
    {
      suffix: 'purge',
      isData: true,
      text: setStep(about.language, {
        comment:
          'The time is fixed: one that moves would select other rows in each chunk. To delete for good: (chunk) => chunk.delete().',
        options: '{ allowDelete: true }',
        select: `db('${about.table}').where('created_at', '<', '2026-01-01T00:00:00Z')`,
        update: `
  db.raw(
    \`with gone as (delete from ${about.table} using ? c where ${sameKey(about)} returning ${about.table}.*)
     insert into ${about.table}_archive select * from gone\`,
    [chunk],
  )`,
      }),
    },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${[...ints(about), 'created_at timestamptz not null'].join(', ')}, primary key (${keysOf(about).join(', ')}))`,
    seed: seeded(
      about,
      [...ints(about).slice(1), `created_at: \`20\${no + 10}-06-01\``].join(', ').replaceAll(' int', ': no'),
    ),
    isDone: `select (select count(*) from ${about.table}) = 4 and (select count(*) from ${about.table}_archive) = 16 as done`,
  }),
};

export const dedupe: Recipe = {
  describe: 'all but the oldest of rows that should be unique',
  table: 'people',
  isForKeyless: true,
  steps: (about) => (about.key === place.name ? dedupeByPlaces(about) : dedupeByKey(about)),
  test: (about) =>
    about.key === place.name
      ? keylessTest(about)
      : {
          schema: `
      create table ${about.table} (${about.key} int primary key, email text not null);
      create table ${about.table}_doubles as select n as ${about.key} from generate_series(7, 19) as n`,
          seed: seeded(about, `email: \`\${no % 7}@example.org\``),
          isAlone: true,
          isDone: `select count(*) = 7 and max(${about.key}) = 6 as done from ${about.table}`,
        },
};

function dedupeByKey(about: About): readonly Step[] {
  const { language, table, key } = about;
  return [
    {
      suffix: 'find',
      text: schemaStep(language, {
        comment:
          'Which rows are too many is decided once, for all chunks. The application writes no new duplicates from here on.',
        up: `
  create table ${table}_doubles as
    select ${key} from (
      select ${key}, row_number() over (partition by email order by ${key}) as no from ${table}
    ) as numbered where no > 1;
  alter table ${table}_doubles add primary key (${key})`,
        down: `drop table ${table}_doubles`,
      }),
    },
    { suffix: 'delete', isData: true, text: dedupeText(about) },
    uniqueIndex(about, 'email'),
  ];
}

/** Without a key nothing can be noted of a row for later: which one stays is decided in each chunk, under locks. */
function dedupeByPlaces(about: About): readonly Step[] {
  const { language, table } = about;
  const index = `${table}_email_doubles`;
  return [
    {
      suffix: 'find',
      text: schemaStep(language, {
        comment:
          'Rows that are alike are found by it; dropped at the end. Outside of a transaction: it does not lock the table.',
        up: `create index concurrently if not exists ${index} on ${table} (email)`,
        down: `drop index concurrently if exists ${index}`,
        isAlone: true,
      }),
    },
    {
      suffix: 'delete',
      isData: true,
      text: setStep(language, {
        comment:
          'The first one in the table stays. All rows that are alike are locked before, so that none of them\nmoves and no other chunk decides about them at the same time.',
        options: '{ allowDelete: true }',
        select: `
  db('${table} as p').whereExists(
    db('${table} as kept').select(db.raw('1')).whereRaw('kept.email = p.email and kept.ctid < p.ctid'),
  )`,
        update: `{
  const alike = 'select from ${table} where email in (select email from ? as c) order by ctid for update';
  await db.raw(alike, [chunk]);
  await chunk.delete();
}`,
      }),
    },
    uniqueIndex(about, 'email'),
    {
      suffix: 'cleanup',
      text: schemaStep(language, {
        comment: 'The unique index does the same.',
        up: `drop index concurrently if exists ${index}`,
        down: 'select 1',
        isAlone: true,
      }),
    },
  ];
}

function keylessTest({ table }: About): RecipeTest {
  return {
    schema: `create table ${table} (email text not null)`,
    seed: `{ ${table}: Array.from({ length: 20 }, (_, no) => ({ email: \`\${no % 7}@example.org\` })) }`,
    isDone: `select count(*) = 7 and count(distinct email) = 7 as done from ${table}`,
  };
}

function dedupeText({ language, table, key }: About): string {
  return setStep(language, {
    comment: 'Rows of other tables that point to these come first: move them to the row that stays.',
    options: '{ allowDelete: true }',
    select: `
  db('${table}').join('${table}_doubles', '${table}_doubles.${key}', '${table}.${key}').select('${table}.${key}')`,
    update: 'chunk.delete()',
  });
}
