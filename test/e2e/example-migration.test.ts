import { expect, inject, it, vi } from 'vitest';
import { testMigration } from 'umzug-cluster/testing';
import '../support/global-setup.ts';

/** The example migration, tested as its author would test it. */

const properties = Array.from({ length: 40 }, (_, no) => ({
  title: `Property ${no}`,
  street: 'Mill Street 1',
  city: 'Ghent',
  postal_code: '09000',
  country: 'BE',
  property_date_type: ['dated', 'dated', 'date-given', 'undated'][no % 4],
}));

// Some ten processes, one after the other.
vi.setConfig({ testTimeout: 180_000 });

it('gives dated properties their new type, whatever happens on the way, and takes it back', async () => {
  const report = await testMigration({
    file: 'migrations/2025.05.18T22.04.04.dated-to-date-given.ts',
    earlier: ['migrations/2025.05.18T22.04.02.create-properties.ts'],
    seed: { properties },
    database: inject('serverUrl'),
    check: async (db) => {
      expect(await db('properties').where('property_date_type', 'dated')).toEqual([]);
      expect(await db('properties').where('property_date_type', 'date-given')).toHaveLength(30);
      expect(await db('properties').where('property_date_type', 'undated')).toHaveLength(10);
    },
  });
  expect(report).toMatchObject({ rows: 20, crashes: 3, idempotent: true });
});
