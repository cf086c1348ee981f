import { setTimeout as delay } from 'node:timers/promises';
import type { WebhookConfig } from '../../config.ts';
import { createPool, type Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { startDispatch } from './dispatch.ts';
import { createEngine, type Engine } from './engine.ts';
import type { SecretOpener } from './outgoing/secrets.ts';
import { openSecretOpener, openSender } from './outgoing/settings.ts';
import { publicKeyOf } from './outgoing/signature.ts';
import { startRewrap } from './rewrap.ts';
import { dueEndpoints, freeStranded } from './store.ts';

/** How often left-over work is looked for: it takes a twentieth of the time at the most. */
const SWEEP_MS = 1000;
const SWEEP_SHARE = 20;
const FREE_MS = 3000;
const HOUR_MS = 3_600_000;

/** The public halves of new ed25519 keys: SQL cannot derive them. */
async function publishKeys(pool: Pool, opener: SecretOpener): Promise<void> {
  const { rows } = await pool.query<{
    tenant_id: string;
    endpoint_id: string;
    id: string;
    ciphertext: Buffer;
  }>('select * from webhook.unpublished_keys()');
  for (const { tenant_id, endpoint_id, id, ciphertext } of rows) {
    const key = publicKeyOf(await opener.open(ciphertext));
    await pool.query('select webhook.publish_key($1, $2, $3, $4)', [tenant_id, endpoint_id, id, key]);
  }
}

/** Again and again, and for a twentieth of the time at the most. */
function startRepeating(everyMs: number, work: () => Promise<void>, onError: (error: Error) => void) {
  const stopping = new AbortController();

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const begun = performance.now();
      await work().catch(onError);
      const pause = Math.max(everyMs, SWEEP_SHARE * (performance.now() - begun));
      await delay(pause, undefined, { signal: stopping.signal }).catch(() => {});
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

/** Deliveries that nobody is at: of a worker that died, retries of long ago, replays. */
function startSweep({ pool, engine, opener, log }: { pool: Pool; engine: Engine; opener: SecretOpener; log: Logger }) {
  async function sweep(): Promise<void> {
    for (const { tenant, id } of await dueEndpoints(pool, 0)) engine.wake(tenant, id, false);
    await publishKeys(pool, opener);
    engine.tick();
  }
  return startRepeating(SWEEP_MS, sweep, (error) => log.warn({ error: error.message }, 'due webhooks not read'));
}

/** Orders that wait for nothing any more: what becomes due by this is found by the sweep. */
function startFreeing({ pool, log }: { pool: Pool; log: Logger }) {
  async function free(): Promise<void> {
    const freed = await freeStranded(pool);
    if (freed > 0) log.warn({ freed }, 'deliveries waited for none before them');
  }
  return startRepeating(FREE_MS, free, (error) => log.warn({ error: error.message }, 'blocked webhooks not read'));
}

/** What is recorded twice at worst was delivered twice; so a crash of the server may take the last records along. */
function recordPool(connectionString: string): Pool {
  const url = new URL(connectionString);
  url.searchParams.set('options', '-c synchronous_commit=off');
  return createPool(url.href, 'rowhouse-worker-webhooks', 4);
}

/**
 * Sends webhooks until stopped, with as many others as there are workers.
 * @returns null where the environment has no key to open secrets with
 * @throws RowhouseError config_invalid
 */
export async function startWebhooks(options: { connectionString: string; config: WebhookConfig; log: Logger }) {
  const { connectionString, config, log } = options;
  const opener = await openSecretOpener(config);
  if (!opener) {
    log.warn('no webhooks are sent by this worker: WEBHOOK_PRIVATE_KEY is not set');
    return null;
  }
  const sender = openSender(config);
  const pool = recordPool(connectionString);
  await pool.query('select webhook.register_sender($1, $2, $3)', [
    opener.keyId,
    opener.publicKey,
    config.WEBHOOK_ALLOW_HTTP,
  ]);
  const limits = {
    circuitFailures: config.WEBHOOK_CIRCUIT_FAILURES,
    circuitOpenMs: config.WEBHOOK_CIRCUIT_OPEN_MS,
    disableAfterMs: config.WEBHOOK_DISABLE_AFTER_HOURS * HOUR_MS,
    disableAttempts: config.WEBHOOK_DISABLE_ATTEMPTS,
  };
  const capacity = config.WEBHOOK_CONCURRENCY;
  const engine = createEngine({
    connectionString,
    pool,
    sender,
    opener,
    limits,
    retryScale: config.WEBHOOK_RETRY_SCALE,
    capacity,
    log,
  });
  const dispatch = startDispatch({ connectionString, pool, engine, log });
  const sweep = startSweep({ pool, engine, opener, log });
  const freeing = startFreeing({ pool, log });
  const rewrap = startRewrap({ connectionString, opener, log });

  return {
    async stop(drainMs: number): Promise<void> {
      await dispatch.stop();
      await sweep.stop();
      await freeing.stop();
      await rewrap.stop();
      await engine.stop(drainMs);
      await sender.close();
      await pool.end();
    },
  };
}
