import {
  type About,
  type Recipe,
  addColumn,
  emptied,
  rowStep,
  schemaStep,
  seeded,
  setStep,
  uniqueIndex,
} from './recipe.ts';

/** Recipes that fill a column of the table itself. */

export const copyColumn: Recipe = {
  describe: 'a column under another name',
  table: 'people',
  steps: (about) => [
    addColumn(about, {
      column: 'full_name text',
      comment: 'From its deploy on the application writes both columns.',
    }),
    {
      suffix: 'backfill',
      isData: true,
      text: setStep(about.language, {
        comment: 'Afterwards the application reads the new column; a contract migration drops the old one.',
        select: `db('${about.table}').whereNull('full_name').whereNotNull('name')`,
        update: `chunk.update({ full_name: db.ref('name') })`,
        down: emptied(about, 'full_name'),
      }),
    },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} int primary key, name text)`,
    seed: seeded(about, `name: \`name \${no}\``),
    isDone: `select bool_and(full_name = name) as done from ${about.table}`,
  }),
};

export const changeType: Recipe = {
  describe: 'a key of type int as bigint',
  table: 'people',
  steps: (about) => [
    { suffix: 'expand', text: typeExpand(about) },
    {
      suffix: 'backfill',
      isData: true,
      text: setStep(about.language, {
        comment: 'The trigger keeps what the application writes during the run in step.',
        select: `db('${about.table}').whereNull('${about.key}_big')`,
        update: `chunk.update({ ${about.key}_big: db.ref('${about.key}') })`,
        down: emptied(about, `${about.key}_big`),
      }),
    },
    uniqueIndex(about, `${about.key}_big`),
    {
      suffix: 'not-null',
      text: notNull(about.language, {
        table: about.table,
        column: `${about.key}_big`,
        down: `alter table ${about.table} alter ${about.key}_big drop not null`,
      }),
    },
    { suffix: 'swap', text: typeSwap(about) },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} int primary key, name text, ${about.key}_big bigint)`,
    seed: seeded(about, `name: \`name \${no}\``),
    isAlone: true,
    isDone: `select bool_and(${about.key}_big = ${about.key}) as done from ${about.table}`,
  }),
};

/** The trigger that writes the new key while both are there. */
function writing({ table, key }: About): { readonly create: string; readonly drop: string } {
  const name = `${table}_${key}_big`;
  return {
    create: `create function ${name}() returns trigger language plpgsql as $$
    begin new.${key}_big := new.${key}; return new; end $$;
  create trigger ${name} before insert or update on ${table}
    for each row execute function ${name}()`,
    drop: `drop trigger ${name} on ${table};
  drop function ${name}();`,
  };
}

function typeExpand(about: About): string {
  const { language, table, key } = about;
  return schemaStep(language, {
    comment: 'A trigger writes the new column from here on, so that the application need not.',
    up: `
  alter table ${table} add column ${key}_big bigint;
  ${writing(about).create}`,
    down: `
  ${writing(about).drop}
  alter table ${table} drop column ${key}_big`,
  });
}

function typeSwap(about: About): string {
  const { language, table, key } = about;
  return schemaStep(language, {
    comment:
      'Foreign keys to the old column, and the default or identity of it, have to move too: add them here.',
    up: `
  ${writing(about).drop}
  alter table ${table} drop constraint ${table}_pkey;
  alter table ${table} rename column ${key} to ${key}_int;
  alter table ${table} rename column ${key}_big to ${key};
  alter table ${table} alter column ${key}_int drop not null;
  alter table ${table} add constraint ${table}_pkey primary key using index ${table}_${key}_big`,
    down: `
  alter table ${table} drop constraint ${table}_pkey;
  alter table ${table} rename column ${key} to ${key}_big;
  alter table ${table} rename column ${key}_int to ${key};
  alter table ${table} add constraint ${table}_pkey primary key (${key});
  create unique index ${table}_${key}_big on ${table} (${key}_big);
  ${writing(about).create}`,
  });
}

/** A column as NOT NULL without a lock that lasts: the check is validated while others write. */
function notNull(
  language: About['language'],
  { table, column, down }: { readonly table: string; readonly column: string; readonly down: string },
): string {
  return schemaStep(language, {
    comment: 'With a check that was validated before, Postgres need not read the table while it is locked.',
    up: [
      `alter table ${table} drop constraint if exists ${column}_given`,
      `alter table ${table} add constraint ${column}_given check (${column} is not null) not valid`,
      `alter table ${table} validate constraint ${column}_given`,
      `alter table ${table} alter ${column} set not null`,
      `alter table ${table} drop constraint ${column}_given`,
    ],
    down,
    isAlone: true,
  });
}

export const jsonToColumns: Recipe = {
  describe: 'a field of a JSON document as a column',
  table: 'people',
  steps: (about) => [
    addColumn(about, {
      column: 'city text',
      comment: 'From its deploy on the application writes the column as well.',
    }),
    {
      suffix: 'backfill',
      isData: true,
      text: setStep(about.language, {
        comment: 'A value that does not fit the type of its column fails its row, which is quarantined.',
        select: `db('${about.table}').whereNull('city').whereRaw("data ->> 'city' is not null")`,
        update: `chunk.update({ city: db.raw("data ->> 'city'") })`,
        down: emptied(about, 'city'),
      }),
    },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} int primary key, data jsonb)`,
    seed: seeded(about, `data: { city: \`city \${no}\` }`),
    isDone: `select bool_and(city = data ->> 'city') as done from ${about.table}`,
  }),
};

export const encrypt: Recipe = {
  describe: 'a column encrypted by the application, by rows',
  table: 'people',
  steps: (about) => [
    addColumn(about, {
      column: 'iban_encrypted bytea',
      comment: 'From its deploy on the application writes both; a contract migration drops the plain column.',
    }),
    { suffix: 'backfill', isData: true, text: encryptText(about) },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} int primary key, iban text)`,
    seed: seeded(about, `iban: \`DE\${no}\``),
    before: "process.env.IBAN_SECRET = 'of the test';",
    ignore: [`${about.table}.iban_encrypted`],
    isDone: `select bool_and(octet_length(iban_encrypted) = 28 + length(iban)) as done from ${about.table}`,
  }),
};

function encryptText(about: About): string {
  const { language } = about;
  const type = (name: string): string => (language === 'ts' ? `: ${name}` : '');
  const names = 'createCipheriv, randomBytes, scryptSync';
  const imports =
    language === 'cjs'
      ? `const { ${names} } = require('node:crypto');\n`
      : `import { ${names} } from 'node:crypto';\n`;
  return rowStep(about, {
    imports,
    reads: 'iban',
    sets: 'iban_encrypted',
    value: 'encrypted(row.iban)',
    functions: `let secret${type('Buffer | undefined')};

/** From the environment, and never part of the file. The same on each host. */
function secretOf()${type('Buffer')} {
  const password = process.env${language === 'ts' ? "['IBAN_SECRET']" : '.IBAN_SECRET'};
  if (!password) throw new Error('set IBAN_SECRET');
  return scryptSync(password, 'iban', 32);
}

/** AES-256-GCM: 12 bytes of nonce, 16 of tag, then the text. */
function encrypted(text${type('string')})${type('Buffer')} {
  secret ??= secretOf();
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', secret, nonce);
  const bytes = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), bytes]);
}`,
  });
}

export const slug: Recipe = {
  describe: 'a unique slug of a name, computed by rows, then NOT NULL',
  table: 'people',
  steps: (about) => [
    addColumn(about, {
      column: 'slug text',
      comment: 'From its deploy on the application writes the slug of new rows.',
    }),
    { suffix: 'backfill', isData: true, text: slugText(about) },
    uniqueIndex(about, 'slug'),
    {
      suffix: 'contract',
      text: notNull(about.language, {
        table: about.table,
        column: 'slug',
        down: `alter table ${about.table} alter slug drop not null`,
      }),
    },
  ],
  test: (about) => ({
    schema: `create table ${about.table} (${about.key} int primary key, name text)`,
    seed: seeded(about, `name: 'Ann Öther'`),
    isDone: `select bool_and(slug = 'ann-other-' || ${about.key}) as done from ${about.table}`,
  }),
};

function slugText(about: About): string {
  const type = about.language === 'ts' ? ': string' : '';
  return rowStep(about, {
    reads: 'name',
    sets: 'slug',
    // The key makes it unique.
    value: `\`\${slugOf(row.name)}-\${row.${about.key}}\``,
    functions: `function slugOf(name${type})${type} {
  const plain = name.normalize('NFKD').replaceAll(/\\p{M}/gu, '').toLowerCase();
  return plain.replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-|-$/g, '');
}`,
  });
}
