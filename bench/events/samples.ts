import { runLoad } from '../load.ts';
import type { Sample } from '../rounds.ts';

/** A measurement that is a rate alone: so many in so many milliseconds. */
export function rateOf(count: number, milliseconds: number): Sample {
  return { requests: count, requestsPerSecond: (count / milliseconds) * 1000, p50Ms: 0, p95Ms: 0, p99Ms: 0 };
}

/** What the receiver itself can take: the same POSTs from a load that does nothing else. */
export async function measureReceiver(origin: string, seconds: number): Promise<number> {
  const headers = {
    'content-type': 'application/json',
    'webhook-id': 'evt_0',
    'webhook-signature': `v1,${'A'.repeat(44)}`,
  };
  const requests = [
    { method: 'POST' as const, path: '/load', headers, body: JSON.stringify({ data: 'x'.repeat(700) }) },
  ];
  return (await runLoad({ origin, requests, connections: 64, seconds })).requestsPerSecond;
}
