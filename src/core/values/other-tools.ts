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
  'drizzle',
] as const;

export type OtherTool = (typeof otherToolNames)[number];

/** What another tool must have executed first. */
export interface Requirement {
  readonly tool: OtherTool;
  /** As the tool calls it. */
  readonly name: string;
}

/** Parses `prisma:20260101_init`; null: it is nothing like that, or of a tool that is not known. */
export function parseRequirement(text: unknown): Requirement | null {
  if (typeof text !== 'string') return null;
  const [, prefix, name] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  const tool = otherToolNames.find((known) => known === prefix);
  return tool === undefined || name === undefined ? null : { tool, name };
}
