import { PassThrough } from 'node:stream';
import pino from 'pino';
import { expect, test } from 'vitest';
import type { Pool } from '../../functions/database.ts';
import { newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import { createOutcomes } from '../../functions/worker/webhooks/outcomes.ts';
import type { Lookup } from '../../functions/worker/webhooks/outgoing/resolve.ts';
import { createSender } from '../../functions/worker/webhooks/outgoing/send.ts';
import type { Recorder } from '../../functions/worker/webhooks/recorder.ts';
import type { Result } from '../../functions/worker/webhooks/records.ts';
import type { Delivery } from '../../functions/worker/webhooks/store.ts';

const URL = 'https://db.corp.example/';
const LIMITS = { circuitFailures: 10, circuitOpenMs: 1000, disableAfterMs: 1e9, disableAttempts: 1e9 };

const failing = (code: string) => async () => {
  throw Object.assign(new Error(`queryA ${code} db.corp.example`), { code });
};

/** What the name servers say, and what of it the operator reads. */
const NAMES: readonly [says: string, lookup: Lookup, withheld: string][] = [
  ['that there is no such name', failing('ENOTFOUND'), 'queryA ENOTFOUND db.corp.example'],
  ['that it has no address', failing('ENODATA'), 'queryA ENODATA db.corp.example'],
  ['that they cannot tell', failing('ESERVFAIL'), 'queryA ESERVFAIL db.corp.example'],
  ['nothing', () => new Promise(() => {}), 'no answer in 50 ms'],
  ['a private address', async () => ['10.0.0.7'], '10.0.0.7 is private (RFC 1918)'],
  ['a private address beside a public one', async () => ['1.1.1.1', 'fd00::7'], 'fd00::7 is unique local (RFC 4193)'],
  ['this machine', async () => ['127.0.0.1'], '127.0.0.1 is loopback (RFC 1122)'],
  ['the metadata of a cloud', async () => ['169.254.169.254'], '169.254.169.254 is metadata (clouds)'],
];

/** All that is written of one failed attempt: for the tenant, and for the operator. */
async function attempt(lookup: Lookup) {
  const sender = createSender({ lookup, timeouts: { dns: 50 } });
  const outcome = await sender.send({ url: URL, headers: {}, body: '{}' });
  await sender.close();
  const results: Result[] = [];
  const lines = new PassThrough();
  const { finish } = createOutcomes({
    pool: {} as Pool,
    recorder: {
      note: (noted) => void ('result' in noted && results.push(noted.result)),
      touch() {},
    } as Partial<Recorder> as Recorder,
    limits: LIMITS,
    retryScale: 1,
    log: pino({ base: null, timestamp: false }, lines),
  });
  const endpoint = newEndpoint('t_acme', 'e1');
  const delivery: Delivery = {
    ...{ position: 1, orderingKey: null, attempts: 0, failed: 0, retried: false, blocked: false },
    ...{ eventId: 'evt_1', body: '{}' },
  };
  finish(endpoint, delivery, outcome, 0);
  const { failingSince, ...health } = endpoint.health;
  const [{ latency, next_at, ...result }] = results as [Result];
  return { shown: { result, health }, logged: lines.read()?.toString() as string | undefined };
}

test('tenants are told the same of a name that leads inside as of one that there is not; the operator is told which', async () => {
  const attempts = await Promise.all(
    NAMES.map(async ([says, lookup, withheld]) => ({ says, withheld, ...(await attempt(lookup)) })),
  );
  const detail = 'db.corp.example has no address that deliveries go to';
  for (const { says, withheld, shown, logged } of attempts) {
    expect(shown, says).toEqual(attempts[0]?.shown);
    expect(shown, says).toMatchObject({
      result: { status: 'pending', code: null, error: 'dns_failed', response: detail },
      health: { lastError: `dns_failed: ${detail}` },
    });
    expect(JSON.parse(logged ?? 'null'), says).toEqual({
      level: 30,
      tenant_id: 't_acme',
      endpoint_id: 'e1',
      reason: 'dns_failed',
      detail,
      withheld,
      msg: 'webhook not connected',
    });
  }
});
