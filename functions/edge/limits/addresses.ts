import { LRUCache } from 'lru-cache';
import { RowhouseError } from '../../errors.ts';
import { limitField, policyField, secondsToMore } from './fields.ts';

/** Of more addresses at once the one seen longest ago is forgotten, and starts with a full bucket. About 2 MB. */
const KEPT = 10_000;

export interface AddressLimit {
  rate: number;
  burst: number;
}

/** One subscriber has a whole /64 of IPv6 (RFC 6177). */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':');
    while (groups.length + last.length < 8) groups.push('0');
    groups.push(...last);
  }
  return groups.slice(0, 4).join(':');
}

/** Requests without a token are nobody's: each address has a small bucket, in this edge's memory alone. */
export function createAddresses({ rate, burst }: AddressLimit) {
  const buckets = new LRUCache<string, { units: number; at: number }>({ max: KEPT });
  const policy = policyField('address', rate, burst);

  function filled(address: string) {
    const now = performance.now();
    const network = networkOf(address);
    let bucket = buckets.get(network);
    if (!bucket) {
      bucket = { units: burst, at: now };
      buckets.set(network, bucket);
    }
    bucket.units = Math.min(burst, bucket.units + (rate * (now - bucket.at)) / 1000);
    bucket.at = now;
    return bucket;
  }

  const refusal = (units: number) =>
    new RowhouseError('rate_limited', {
      detail: `Without a token, an address may send ${rate} requests a second.`,
      hint: 'Send an Authorization header: Bearer <token>',
      headers: { 'Retry-After': String(secondsToMore(units, rate)) },
    });

  return {
    /** @returns rate_limited where there is none left */
    take(address: string, replyHeaders: Record<string, string>): RowhouseError | undefined {
      const bucket = filled(address);
      const allowed = bucket.units >= 1;
      if (allowed) bucket.units--;
      replyHeaders['ratelimit-policy'] = policy;
      replyHeaders.ratelimit = limitField('address', bucket.units, rate);
      return allowed ? undefined : refusal(bucket.units);
    },
    /**
     * Sets a unit aside while something that the address sent is looked up: however many look-ups run at once, they are no more than the bucket has.
     * @returns what gives it back
     * @throws RowhouseError rate_limited
     */
    hold(address: string): () => void {
      const bucket = filled(address);
      if (bucket.units < 1) throw refusal(bucket.units);
      bucket.units--;
      return () => {
        bucket.units = Math.min(burst, bucket.units + 1);
      };
    },
  };
}
