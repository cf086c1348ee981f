import path from 'node:path';
import { connected } from '../database.ts';
import type { ChildSpec } from './child.ts';
import { freePort } from './ports.ts';
import { type PostgrestOptions, postgrestChild } from './postgrest.ts';
import type { StateDirectory } from './state.ts';

const NAME = 'second';
/** The demo tenant that it serves. */
const TENANT = 't_globex';

/** A second PostgREST, as a pool of the demo tenant globex. */
export interface SecondPool {
  url: string;
  child: ChildSpec;
}

export async function secondPool(
  state: StateDirectory,
  first: Omit<PostgrestOptions, 'name' | 'configuration' | 'port' | 'adminPort'>,
): Promise<SecondPool> {
  const port = await freePort();
  const child = postgrestChild({
    ...first,
    name: `postgrest-${NAME}`,
    configuration: path.join(state.run, `postgrest-${NAME}.conf`),
    port,
    adminPort: await freePort(),
  });
  return { url: `http://127.0.0.1:${port}`, child };
}

/** Puts it into the map of pools, or takes out the one of an earlier start, whose port is no longer its own. */
export async function enterSecondPool(migratorUrl: string, url: string | undefined): Promise<void> {
  await connected(migratorUrl, async (client) => {
    if (url === undefined) return client.query('delete from tenancy.pools where name = $1', [NAME]);
    await client.query(
      `insert into tenancy.pools (name, url, kind) values ($1, $2, 'dedicated')
       on conflict (name) do update set url = excluded.url, enabled = true`,
      [NAME, url],
    );
    return client.query(
      `insert into tenancy.tenant_settings (tenant_id, pool) select id, $1 from tenancy.tenants where id = $2
       on conflict (tenant_id) do update set pool = excluded.pool where tenant_settings.pool is null`,
      [NAME, TENANT],
    );
  });
}
