import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { storable } from '../../src/core/values/storable.ts';
import { connect, onServer, urlOfDatabase } from '../support/database.ts';
import { makeProject } from '../support/project.ts';
import { migrateHere } from '../support/small-run.ts';

/** A database that stores fewer characters than a message may have. */

it('keeps the message of a bad row, and refuses a file whose name it cannot store', async () => {
  const name = `latin_${randomBytes(8).toString('hex')}`;
  await onServer(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
  const url = urlOfDatabase(name);
  const client = await connect(url);
  try {
    await client.query(`
      create table t (id int primary key, age text, n int);
      insert into t (id, age) select i, case when i = 7 then 'sieben' else i::text end from generate_series(1, 9) as i`);
    const source = `
      export const select = (db) => db('t').select('id', 'age').whereNull('n');
      export const update = async (db, rows) => {
        for (const { id, age } of rows) await db('t').where({ id }).update({ n: age });
      };`;
    const unnamed = makeProject({ '七.ts': source }).dir;
    await expect(migrateHere(unnamed, url)).rejects.toMatchObject({
      code: 'MIGRATION_FILE',
      message: '七: it has a character that the encoding of the database cannot store',
    });
    await expect(migrateHere(makeProject({ 'é.ts': source }).dir, url)).rejects.toThrow(
      'é, up: 1 row is quarantined',
    );
    const { rows } = await client.query(
      'select key, error, (select count(n)::int from t) as done from umzug_cluster.quarantine',
    );
    expect(rows).toEqual([{ key: ['7'], error: expect.stringContaining(': "..."'), done: 8 }]);
  } finally {
    await client.end();
    await onServer(`drop database ${name} with (force)`);
  }
});

it('replaces what an encoding may lack, and nothing where none is known to lack it', () => {
  const message = 'Müller’s “…” 七';
  expect(storable(message, 'LATIN1')).toBe(`Müller's "..." ?`);
  expect(storable(message, 'LATIN2')).toBe(`M?ller's "..." ?`);
  for (const encoding of ['UTF8', 'SQL_ASCII', undefined]) expect(storable(message, encoding)).toBe(message);
});
