import type { Logger } from '../../log.ts';
import { dropBuffer, type Endpoint, isUnsettled, putInBuffer, rest } from './endpoint.ts';
import type { Shares } from './fairness.ts';
import { openMaterial } from './material.ts';
import type { SecretOpener } from './outgoing/secrets.ts';
import type { Recorder } from './recorder.ts';
import type { Ask, Claimed, Delivery, Described, StoredHealth } from './store.ts';

/** Takes in what a claim has brought. */

const BUSY_MS = { first: 20, most: 500 };
const UNREADABLE_MS = 60_000;
/** For less than this, it is not worth giving a lease back. */
const REST_MS = 1000;

export interface Asked {
  endpoint: Endpoint;
  ask: Ask;
  wakes: number;
}

/** Sets a delivery aside, behind an earlier one of its order, until that is settled. */
export function park(recorder: Recorder, endpoint: Endpoint, { position, orderingKey }: Delivery): void {
  endpoint.unsettled.set(position, orderingKey ?? '');
  endpoint.unrecorded += 1;
  recorder.note({
    endpoint,
    parked: { t: endpoint.tenant, e: endpoint.id, p: position },
  });
}

/** Nothing can be sent to it at the moment; it is read anew when that time is over, unless its tenant changes it before. */
export function pause(endpoint: Endpoint, reason: string): void {
  endpoint.changes += 1;
  endpoint.health.pausedUntil = Date.now() + UNREADABLE_MS;
  endpoint.health.lastError = reason;
  endpoint.described = null;
  rest(endpoint, endpoint.health.pausedUntil);
}

export function createIntake(options: {
  endpoints: ReadonlyMap<string, Endpoint>;
  shares: Shares;
  recorder: Recorder;
  opener: SecretOpener;
  log: Logger;
  /** There is something to send. */
  pump: () => void;
}) {
  const { endpoints, shares, recorder, opener, log, pump } = options;

  /** @returns whether what was known of its receiver counts no more */
  function describe(endpoint: Endpoint, described: Described): boolean {
    const { generation, watermark } = described;
    const moved = endpoint.described?.generation !== generation;
    dropBuffer(endpoint);
    endpoint.readPosition = moved ? watermark : Math.max(endpoint.readPosition, watermark);
    const anew = endpoint.generation !== generation;
    if (anew) Object.assign(endpoint, { generation, since: Date.now() });
    endpoint.described = described;
    endpoint.material = null;
    openMaterial(opener, described).then(
      (material) => {
        if (endpoint.described !== described) return;
        endpoint.material = material;
        shares.offer(endpoint);
        pump();
      },
      (error: Error) => {
        log.error({ tenant_id: endpoint.tenant, endpoint_id: endpoint.id, err: error }, 'secrets not opened');
        pause(endpoint, 'its secrets cannot be opened');
        recorder.touch(endpoint);
        pump();
      },
    );
    return anew;
  }

  /** What the database knows of the receiver: from the lease's holder before, or by its tenant's wish. */
  function adopt(endpoint: Endpoint, stored: StoredHealth): void {
    const { circuit, opened, failures, failingSince, pausedUntil } = stored;
    Object.assign(endpoint.health, {
      circuit,
      opened,
      failures,
      failingSince,
      pausedUntil: pausedUntil ?? 0,
    });
    if (failures === 0) endpoint.health.throttled = 0;
    endpoint.saved = endpoint.changes;
  }

  /** @returns whether it was not in hand already */
  function add(endpoint: Endpoint, delivery: Delivery): boolean {
    const { position, retried, orderingKey: key } = delivery;
    if (!retried) endpoint.readPosition = Math.max(endpoint.readPosition, position);
    if (endpoint.known.has(position)) return false;
    endpoint.known.add(position);
    endpoint.taken += 1;
    if (!retried) endpoint.open.add(position);
    const waits = !retried && key !== null && (delivery.blocked || isUnsettled(endpoint, key));
    if (waits) park(recorder, endpoint, delivery);
    else putInBuffer(endpoint, delivery);
    return true;
  }

  function lease(endpoint: Endpoint, health: StoredHealth, anew: boolean): void {
    if (anew || !endpoint.leased) adopt(endpoint, health);
    if (!endpoint.leased) endpoint.taken = 0;
    Object.assign(endpoint, { leased: true, busyMs: 0, urgent: false, foundDue: false });
  }

  function refuse(endpoint: Endpoint, kind: 'busy' | 'gone', now: number): void {
    Object.assign(endpoint, { leased: false, lane: 'first', foundDue: false });
    dropBuffer(endpoint);
    if (kind === 'gone') endpoint.described = null;
    else if (endpoint.urgent) {
      endpoint.busyMs = Math.min(BUSY_MS.most, endpoint.busyMs * 2 || BUSY_MS.first);
      endpoint.wantAt = Math.min(endpoint.wantAt, now + endpoint.busyMs);
    }
  }

  return (claimed: Claimed[], asked: Asked[]): void => {
    const now = Date.now();
    const counts = new Map(asked.map(({ endpoint }) => [endpoint.id, { fresh: 0, retried: 0, added: 0 }]));
    const dueAt = new Map<string, number>();
    const deliveries: Extract<Claimed, { kind: 'delivery' }>[] = [];
    // What an endpoint is comes before its deliveries, whatever the order of the rows.
    const described = new Map<Endpoint, { anew: boolean }>();
    for (const row of claimed) {
      const endpoint = endpoints.get(row.endpoint);
      if (endpoint && row.kind === 'endpoint') described.set(endpoint, { anew: describe(endpoint, row.described) });
    }
    for (const row of claimed) {
      const endpoint = endpoints.get(row.endpoint);
      if (!endpoint || row.kind === 'endpoint') continue;
      if (row.kind === 'delivery') deliveries.push(row);
      else if (row.kind === 'leased') {
        lease(endpoint, row.health, described.get(endpoint)?.anew ?? false);
        if (row.dueAt !== null) dueAt.set(row.endpoint, row.dueAt);
      } else refuse(endpoint, row.kind, now);
    }
    // What was dropped while this was being read lies before it: taken in, it would be passed over for ever.
    const behind = new Set(
      asked.flatMap(({ endpoint, ask }) =>
        endpoint.readPosition < ask.watermark && !described.has(endpoint) ? [endpoint] : [],
      ),
    );
    for (const endpoint of behind) endpoint.wantAt = 0;
    deliveries.sort((a, b) => a.delivery.position - b.delivery.position);
    for (const { endpoint: id, delivery } of deliveries) {
      const endpoint = endpoints.get(id);
      const count = counts.get(id);
      if (!endpoint || !count || (!delivery.retried && behind.has(endpoint))) continue;
      count[delivery.retried ? 'retried' : 'fresh'] += 1;
      if (add(endpoint, delivery)) count.added += 1;
    }
    for (const { endpoint, ask, wakes } of asked) {
      if (!endpoint.leased) continue;
      const { fresh, retried, added } = counts.get(endpoint.id) ?? {
        fresh: 0,
        retried: 0,
        added: 0,
      };
      const more = added > 0 && (fresh >= ask.rows || retried >= ask.rows);
      if (more || endpoint.wakes !== wakes) endpoint.wantAt = 0;
      else
        endpoint.wantAt = Math.min(
          endpoint.wantAt,
          Math.max(dueAt.get(endpoint.id) ?? Number.POSITIVE_INFINITY, now + 1),
        );
      if (endpoint.health.pausedUntil > now + REST_MS) rest(endpoint, endpoint.health.pausedUntil);
      shares.offer(endpoint);
    }
  };
}
