import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { connected } from '../../database.ts';
import type { Logger } from '../../log.ts';
import type { SecretOpener } from './outgoing/secrets.ts';

/** A fifth of the time, at the most: opening and encrypting takes some 2 ms of this process each, in which nothing is delivered. */
const SHARE = 5;
const EVERY_MS = 10 * 60_000;

interface Stored {
  tenant_id: string;
  endpoint_id: string;
  id: string;
  key_id: string;
  ciphertext: Buffer;
}

type Place = Pick<Stored, 'tenant_id' | 'endpoint_id' | 'id'>;

const ZERO = '00000000-0000-0000-0000-000000000000';
const START: Place = { tenant_id: '', endpoint_id: ZERO, id: ZERO };

/**
 * Encrypts secrets anew that were encrypted for an older key, where this worker's first key is the newest: then the older private key can
 * be taken away. Now, and every ten minutes for what others have stored meanwhile. Several workers share the work.
 */
export function startRewrap(options: { connectionString: string; opener: SecretOpener; log: Logger }) {
  const { connectionString, opener, log } = options;
  const stopping = new AbortController();
  const pause = (ms: number) => delay(ms, undefined, { signal: stopping.signal }).catch(() => {});

  async function rewrapAll(): Promise<void> {
    let rewrapped = 0;
    const unreadable = new Map<string, number>();
    // Not the pool of the engine: what its COMMIT says is not on the disk yet, and the operator removes a key because of this.
    const work = async (client: pg.Client) => {
      for (let place = START; !stopping.signal.aborted; ) {
        let busyMs = 0;
        await client.query('begin');
        const { rows } = await client.query<Stored>('select * from webhook.outdated_secrets($1, $2, $3, $4)', [
          opener.keyId,
          place.tenant_id,
          place.endpoint_id,
          place.id,
        ]);
        for (const { tenant_id, endpoint_id, id, key_id, ciphertext } of rows) {
          const begun = performance.now();
          const anew = await opener.rewrap(ciphertext).catch(() => undefined);
          busyMs += performance.now() - begun;
          // One that nobody here can open keeps nobody from the others.
          if (anew === undefined) unreadable.set(key_id, (unreadable.get(key_id) ?? 0) + 1);
          else {
            const values = [tenant_id, endpoint_id, id, opener.keyId, anew ?? ciphertext];
            await client.query('select webhook.rewrap_secret($1, $2, $3, $4, $5)', values);
            rewrapped += 1;
          }
        }
        await client.query('commit');
        const last = rows.at(-1);
        if (!last) break;
        place = last;
        await pause((SHARE - 1) * busyMs);
      }
    };
    await connected(connectionString, work, 'rowhouse-worker-webhook-keys');
    if (rewrapped > 0)
      log.info({ rewrapped, key_id: opener.keyId }, 'webhook secrets are encrypted for the newest key');
    for (const [key_id, secrets] of unreadable) {
      log.error({ key_id, secrets }, 'webhook secrets cannot be opened: this worker lacks the key');
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await rewrapAll().catch((error: Error) =>
        log.warn({ error: error.message }, 'webhook secrets not encrypted for the newest key'),
      );
      await pause(EVERY_MS);
    }
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
