import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { createAsks } from './asks.ts';
import { requestOf } from './attempt.ts';
import { dropBuffer, type Endpoint, newEndpoint } from './endpoint.ts';
import { createShares } from './fairness.ts';
import type { HealthLimits } from './health.ts';
import { createIntake } from './intake.ts';
import { createOutcomes } from './outcomes.ts';
import type { Outcome } from './outgoing/outcome.ts';
import type { SecretOpener } from './outgoing/secrets.ts';
import type { Sender } from './outgoing/send.ts';
import { createPacing } from './pacing.ts';
import { createReader } from './reader.ts';
import { createRecorder } from './recorder.ts';
import { createLeaseSession, type LeaseSession } from './session.ts';
import type { Delivery } from './store.ts';

export interface EngineOptions {
  connectionString: string;
  pool: Pool;
  sender: Pick<Sender, 'send'>;
  opener: SecretOpener;
  limits: HealthLimits;
  /** Of the waits between the attempts at a delivery. */
  retryScale: number;
  /** Deliveries under way at the same time, for all tenants. */
  capacity: number;
  log: Logger;
  /** Default: a session of the database. */
  openSession?: (onLost: () => void) => LeaseSession;
}

export type Engine = ReturnType<typeof createEngine>;

/** Signing and sending are this thread's work: after so much of it, whatever has come from outside is heard. */
const SLICE_MS = 2;
/** Longer than from one round of a backlog to the next, paced as it may be. */
const SET_ASIDE_MS = 2000;

/**
 * Delivers: leases endpoints that have work, reads what is due in batches, sends, and records. Everything it knows can be lost:
 * the database has what is due, and another worker goes on from there.
 */
export function createEngine(options: EngineOptions) {
  const { sender, opener, limits, log, pool } = options;
  const endpoints = new Map<string, Endpoint>();
  const aborting = new AbortController();
  const shares = createShares(options.capacity);
  const pacing = createPacing();
  const openSession = options.openSession ?? ((onLost) => createLeaseSession(options.connectionString, onLost));
  const recorder = createRecorder({ pool, pacing, log, onRecorded });
  const outcomes = createOutcomes({ pool, recorder, limits, retryScale: options.retryScale, log });
  const takeIn = createIntake({ endpoints, shares, recorder, opener, log, pump });
  const openReader = (lane: 'first' | 'backlog') => {
    const session = openSession(loseLeases);
    const look = createAsks({ endpoints, shares, pacing, lane });
    return { session, ...createReader({ session, lane, look, takeIn, pacing, log, pump }) };
  };
  /** Nobody waits for the reads of a backlog: they are another session's. */
  const first = openReader('first');
  const backlog = openReader('backlog');
  let pumping = false;
  let stopping = false;

  function want(endpoint: Endpoint): void {
    endpoint.wakes += 1;
    endpoint.wantAt = 0;
    pump();
  }

  /** Once for all that happens in this turn of the event loop. */
  function pump(): void {
    if (pumping || stopping) return;
    pumping = true;
    setImmediate(() => {
      pumping = false;
      send();
      first.read();
      backlog.read();
      send();
    });
  }

  function send(): void {
    if (stopping) return;
    const now = Date.now();
    const begun = performance.now();
    for (let next = shares.next(now); next; next = shares.next(now)) {
      void deliver(next.endpoint, next.delivery);
      if (performance.now() - begun < SLICE_MS) continue;
      pump();
      return;
    }
  }

  async function deliver(endpoint: Endpoint, delivery: Delivery): Promise<void> {
    const at = Date.now();
    let outcome: Outcome | undefined;
    try {
      const request = requestOf(endpoint, delivery, at);
      if (request) outcome = await sender.send(request, aborting.signal);
    } catch (error) {
      if (!aborting.signal.aborted) log.error({ err: error, endpoint_id: endpoint.id }, 'delivery could not be sent');
    }
    outcomes.finish(endpoint, delivery, outcome, at);
    shares.end(endpoint);
    pump();
  }

  function onRecorded(endpoint: Endpoint, position: number): void {
    endpoint.unrecorded -= 1;
    if (endpoint.unsettled.has(position)) endpoint.wantsWhenRecorded = true;
    (endpoint.lane === 'backlog' ? backlog : first).settle(endpoint, position);
    const wants = endpoint.wantsWhenRecorded;
    endpoint.wantsWhenRecorded = false;
    if (wants) want(endpoint);
    else pump();
  }

  /** The server may have gone down, with what was recorded last: nothing that is known of any endpoint holds, leased or not. */
  function loseLeases(): void {
    for (const { session, lose } of [first, backlog]) {
      lose();
      void session.end();
    }
    recorder.unpark();
    for (const endpoint of endpoints.values()) {
      dropBuffer(endpoint);
      if (endpoint.leased || endpoint.lane === 'between') endpoint.wantAt = 0;
      Object.assign(endpoint, { leased: false, lane: 'first', described: null });
    }
    pump();
  }

  return {
    /** Resolves when a piece of a backlog's work may begin; whoever gets it ends it. */
    turn: () => pacing.turn(),

    /**
     * @param urgent it has new deliveries; otherwise it may have some, and whoever holds its lease will see to them
     * @param isSetAside they are of a tenant's backlog in the ledger
     */
    wake(tenant: string, id: string, urgent: boolean, isSetAside = false): void {
      let endpoint = endpoints.get(id);
      if (!endpoint) {
        endpoint = newEndpoint(tenant, id);
        endpoints.set(id, endpoint);
      } else if (endpoint.leased && !urgent) return;
      if (isSetAside) endpoint.setAsideUntil = Date.now() + SET_ASIDE_MS;
      else if (urgent && endpoint.known.size === 0) pacing.hold();
      endpoint.urgent ||= urgent;
      endpoint.foundDue ||= !urgent;
      want(endpoint);
    },

    /** Called once a second: saves what has waited, and looks around, whatever else was missed. */
    tick(): void {
      recorder.tick();
      pump();
    },

    /** Begins nothing new, waits for what is under way, then cuts it off; records what ended, and gives the leases back. */
    async stop(drainMs: number): Promise<void> {
      stopping = true;
      const reads = Promise.all([first.stop(), backlog.stop()]);
      const cut = setTimeout(() => aborting.abort(new Error('the worker stops')), drainMs);
      while (shares.underWay() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      clearTimeout(cut);
      await reads;
      await recorder.finish().catch((error: Error) => log.warn({ error: error.message }, 'attempts not recorded'));
      await Promise.all([first.session.end(), backlog.session.end()]);
    },
  };
}
