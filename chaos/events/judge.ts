import type { Endpoint, LedgerEvent, Receipt, Written } from './model.ts';

const EXAMPLES = 8;

export interface Evidence {
  endpoints: readonly Endpoint[];
  events: readonly LedgerEvent[];
  receipts: readonly Receipt[];
  written: Written;
  /** Given up, by endpoint and id of the event: sent again by hand, out of order. */
  dead: ReadonlySet<string>;
}

export interface Verdict {
  /** Events in the ledger. */
  committed: number;
  /** Pairs of an event and an endpoint that wants it. */
  due: number;
  /** Of these, those that no receiver ever accepted; and acknowledged writes that the ledger has no event of. */
  lost: number;
  /** Requests with an event that was never committed, is another tenant's, or was not asked for. */
  phantom: number;
  /** Events accepted for the first time after a later one of the same order. */
  misordered: number;
  /** Accepted again. Each has the id and the body of the first, or counts as altered. */
  duplicates: number;
  altered: number;
  unverified: number;
  /** The first few of what is wrong, for whoever looks for the reason. */
  examples: string[];
}

/** `*` stands for any characters, as in webhook.like_patterns(). */
function wants({ types }: Endpoint, { type, role }: LedgerEvent): boolean {
  if (role === 'owner') return false; // an endpoint is an admin's
  const form = ([first, ...rest]: string[]): boolean => {
    let at = first?.length ?? 0;
    if (!type.startsWith(first ?? '')) return false;
    if (rest.length === 0) return type.length === at;
    const last = rest.pop() ?? '';
    for (const part of rest) {
      const found = type.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return type.length - last.length >= at && type.endsWith(last);
  };
  return types.some((pattern) => form(pattern.split('*')));
}

export const pairOf = ({ id }: Pick<Endpoint, 'id'>, event: string) => `${id} ${event}`;

/** Compares what receivers got with what the ledger has, and that with what its writers were told. */
export function judge({ endpoints, events, receipts, written, dead }: Evidence): Verdict {
  const none = { due: 0, lost: 0, phantom: 0, misordered: 0, duplicates: 0, altered: 0, unverified: 0 };
  const verdict: Verdict = { committed: events.length, ...none, examples: [] };
  const wrong = (key: 'lost' | 'phantom' | 'misordered' | 'altered' | 'unverified', what: string) => {
    verdict[key] += 1;
    if (verdict.examples.length < EXAMPLES) verdict.examples.push(`${key}: ${what}`);
  };
  const due = new Map<string, LedgerEvent>();
  const byTenant = Map.groupBy(endpoints, ({ tenant }) => tenant);
  for (const event of events) {
    for (const endpoint of byTenant.get(event.tenant) ?? []) {
      if (wants(endpoint, event)) due.set(pairOf(endpoint, event.id), event);
    }
  }
  verdict.due = due.size;

  const accepted = new Set<string>();
  const digests = new Map<string, string>();
  const reached = new Map<string, number>();
  for (const { endpoint, id, type, subject, source, digest, verified, ...receipt } of receipts) {
    const pair = pairOf(endpoint, id);
    const event = due.get(pair);
    if (!verified) wrong('unverified', pair);
    const asCommitted = event?.type === type && event.subject === subject && source === `/tenants/${endpoint.tenant}`;
    if (!event || !asCommitted || written.rolledBack.has(subject ?? '')) {
      wrong('phantom', `${pair} of ${subject}`);
      continue;
    }
    if ((digests.get(pair) ?? digest) !== digest) wrong('altered', pair);
    digests.set(pair, digest);
    if (!receipt.accepted || !verified) continue;
    if (accepted.has(pair)) {
      verdict.duplicates += 1;
      continue;
    }
    accepted.add(pair);
    if (endpoint.ordering === 'none' || dead.has(pair)) continue;
    const order = endpoint.ordering === 'subject' ? pairOf(endpoint, `of ${subject}`) : endpoint.id;
    const before = reached.get(order) ?? 0;
    if (event.position < before) wrong('misordered', `${pair} after evt_${before}`);
    reached.set(order, Math.max(before, event.position));
  }
  for (const pair of due.keys()) if (!accepted.has(pair)) wrong('lost', pair);

  const inLedger = new Set(events.map(({ key }) => key));
  for (const key of written.acknowledged) if (!inLedger.has(key)) wrong('lost', `no event of ${key}`);
  for (const { subject } of events)
    if (written.rolledBack.has(subject ?? '')) wrong('phantom', `${subject} is in the ledger`);
  return verdict;
}
