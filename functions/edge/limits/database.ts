import { randomUUID } from 'node:crypto';
import { createPool } from '../../database.ts';
import { type BucketSource, type Lease, SOURCE_MS } from './source.ts';

/** `pg` takes it with a query; its types know it for connections only. */
const patience = { query_timeout: SOURCE_MS } as object;

const LEASE = 'select ask, granted, remaining from metering.lease($1, $2, $3, $4, $5, $6, $7)';

/** Buckets in PostgreSQL: metering.rate_buckets. Over connections of their own: a busy edge must not lose sight of its limits. */
export function databaseBuckets(connectionString: string): BucketSource {
  const pool = createPool(connectionString, 'rowhouse-edge-limits', 2, SOURCE_MS);
  const edgeId = randomUUID();
  return {
    name: 'database',
    async lease(asks) {
      const { rows } = await pool.query<Lease & { ask: number }>({
        ...patience,
        name: 'lease',
        text: LEASE,
        values: [
          asks.map(({ tenantId }) => tenantId),
          asks.map(({ kind }) => kind),
          asks.map(({ rate }) => rate),
          asks.map(({ burst }) => burst),
          asks.map(({ owed }) => owed),
          asks.map(({ wanted }) => wanted),
          asks.map(({ ceiling }) => ceiling),
        ],
      });
      const leases = new Array<Lease | undefined>(asks.length);
      for (const row of rows) leases[row.ask - 1] = row;
      return leases;
    },
    async attend(leaving) {
      const text = 'select metering.attend($1, $2) as edges';
      const { rows } = await pool.query<{ edges: number }>({ ...patience, text, values: [edgeId, leaving] });
      return rows[0]?.edges ?? 1;
    },
    close: () => pool.end(),
  };
}
