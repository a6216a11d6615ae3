import { productName } from '../../core/values/application-name.ts';
import type { LaneLook } from '../../core/size/lanes.ts';
import type { Session } from '../../postgres/session.ts';

/**
 * What the chunks that are in flight on this database wait for at this moment: those of all processes and hosts, by
 * what the server shows of their connections. A look takes 0.2 ms.
 */
export async function lookAtChunks(session: Session): Promise<LaneLook> {
  const result = await session.query(
    `select count(*)::integer as chunks,
       count(*) filter (where state = 'active' and wait_event_type = 'IO')::integer as on_disk,
       count(*) filter (where state <> 'active' or wait_event_type = 'Client')::integer as on_client
     from pg_catalog.pg_stat_activity
     where datname = pg_catalog.current_database() and application_name like $1 and xact_start is not null
       and pid <> pg_catalog.pg_backend_pid()`,
    [`%${productName} %`],
  );
  const { chunks, on_disk: onDisk, on_client: onClient } = result.rows[0] ?? {};
  return { chunks: Number(chunks), onDisk: Number(onDisk), onClient: Number(onClient) };
}
