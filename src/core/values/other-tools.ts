/** The tools whose record of executed migrations can be taken over, as `baseline --from` calls them. */
export const otherToolNames = [
  'knex',
  'sequelize',
  'umzug',
  'node-pg-migrate',
  'kysely',
  'typeorm',
  'mikroorm',
  'prisma',
] as const;

export type OtherTool = (typeof otherToolNames)[number];
