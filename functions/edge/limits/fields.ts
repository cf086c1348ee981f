/**
 * RateLimit-Policy and RateLimit as in draft-ietf-httpapi-ratelimit-headers-10: lists of structured fields (RFC 9651).
 * A token bucket is a quota `q` for each window of `w` seconds; what it holds beyond that is our own parameter.
 */

/** @returns `"read";q=100;w=1;rowhouse-burst=200` */
export function policyField(name: string, rate: number, burst: number): string {
  // Quotas are whole numbers, so a rate below one needs a longer window.
  const window = rate >= 1 ? 1 : Math.ceil(1 / rate);
  const quota = Math.max(1, Math.round(rate * window));
  return `"${name}";q=${quota};w=${window};rowhouse-burst=${Math.floor(burst)}`;
}

/**
 * Seconds until there is more: until the next whole unit.
 * @param units what is left; below zero it is a debt to pay off first
 */
export function secondsToMore(units: number, rate: number): number {
  const next = units < 0 ? 1 : Math.floor(units) + 1;
  return Math.max(1, Math.ceil((next - units) / rate));
}

/** @returns `"read";r=50;t=1` */
export function limitField(name: string, units: number, rate: number): string {
  return `"${name}";r=${Math.max(0, Math.floor(units))};t=${secondsToMore(units, rate)}`;
}
