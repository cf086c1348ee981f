import pg from 'pg';
import { type Ask, type Claimed, claim } from './store.ts';

export type LeaseSession = ReturnType<typeof createLeaseSession>;

/** The session whose locks are the leases of this worker. They end with it, however it ends. */
export function createLeaseSession(connectionString: string, onLost: () => void) {
  let current: pg.Client | undefined;

  async function connect(): Promise<pg.Client> {
    if (current) return current;
    const client = new pg.Client({
      connectionString,
      application_name: 'rowhouse-worker-webhooks',
      keepAlive: true,
      keepAliveInitialDelayMillis: 5000,
      connectionTimeoutMillis: 5000,
    });
    const lose = () => {
      if (current !== client) return;
      current = undefined;
      onLost();
    };
    client.on('error', lose);
    client.on('end', lose);
    await client.connect();
    current = client;
    return client;
  }

  return {
    /** @throws what pg throws; then every lease is lost */
    async claim(releases: string[], asks: Ask[]): Promise<Claimed[]> {
      const client = await connect();
      try {
        return await claim(client, releases, asks);
      } catch (error) {
        // It may have taken leases that nobody knows of.
        if (current === client) {
          current = undefined;
          onLost();
        }
        await client.end().catch(() => {});
        throw error;
      }
    },

    /** Ends it, and its leases: whoever calls this knows. */
    async end(): Promise<void> {
      const client = current;
      current = undefined;
      await client?.end().catch(() => {});
    },
  };
}
