import { finished } from 'node:stream';
import { RowhouseError } from '../../errors.ts';
import type { Brake } from '../brake.ts';
import type { Exchange, Stage } from '../pipeline.ts';
import { onDisconnect } from './disconnect.ts';
import { createLane, type Lane, type LaneCounts, type Line } from './lane.ts';

export interface AdmissionParts {
  brake: Brake;
  /** Requests that one pool of PostgREST works on at once, for this edge: EDGE_MAX_IN_FLIGHT. */
  maxInFlight: number;
  /** Requests that wait, of all tenants: EDGE_MAX_QUEUED. */
  maxQueued: number;
}

/** What a tenant may have in flight, and waiting. */
interface Limits {
  concurrency: number;
  queue: number;
  queueMs: number;
}

export interface Admission {
  stage: Stage;
  /** By pool; the shared one is ''. */
  counts(): Record<string, LaneCounts>;
  /** Requests sent away since the start of this edge. */
  shed(): number;
}

/** Requests without a tenant: an operator's, and those that the gate is going to refuse. */
const WITHOUT_TENANT: Limits = { concurrency: 2, queue: 64, queueMs: 2000 };

function overloaded(detail: string): RowhouseError {
  return new RowhouseError('overloaded', {
    detail,
    hint: 'Send fewer requests at once.',
    headers: { 'Retry-After': '1' },
  });
}

function waitInLine(
  lane: Lane,
  line: Line,
  { request }: Exchange,
  { concurrency, queue, queueMs }: Limits,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiter = (admitted: boolean) => {
      stopWaiting();
      if (admitted) resolve();
      else reject(overloaded('Too many requests are waiting.'));
    };
    const giveUp = (why: string) => () => {
      if (!lane.leaveQueue(line, waiter)) return;
      stopWaiting();
      reject(overloaded(why));
    };
    const timer = setTimeout(giveUp(`The request waited ${queueMs} ms for its turn.`), queueMs);
    const { socket } = request.raw;
    const gone = giveUp('The client has gone.');
    const stopListening = onDisconnect(socket, gone);
    const stopWaiting = () => {
      clearTimeout(timer);
      stopListening();
    };
    if (lane.queue(line, queue, waiter)) {
      // No event tells of what went before.
      if (socket.destroyed) gone();
      return;
    }
    stopWaiting();
    reject(overloaded(`At most ${concurrency} requests are in flight at once, and ${queue} wait.`));
  });
}

/**
 * Lets through as many requests as PostgREST's pools take, and of one tenant no more than its share of them. A place in the pool is
 * free again when PostgREST answers: by then it has given back its connection to the database. The tenant's own place is free when
 * the answer was read, so that slow readers hold up nobody but their tenant.
 */
export function createAdmission({ brake, maxInFlight, maxQueued }: AdmissionParts): Admission {
  const lanes = new Map<string, Lane>();
  let shed = 0;

  function laneOf(pool: string): Lane {
    let lane = lanes.get(pool);
    if (!lane) {
      lane = createLane(maxInFlight, maxQueued);
      lanes.set(pool, lane);
    }
    return lane;
  }

  async function stage(exchange: Exchange, next: Parameters<Stage>[1]) {
    const { settings, caller } = exchange;
    const limits = settings ?? WITHOUT_TENANT;
    const lane = laneOf(settings?.pool ?? '');
    const key = settings?.tenantId ?? caller?.role ?? 'anonymous';
    const line = lane.line(key, limits.concurrency);
    if (!lane.enter(line)) {
      const since = performance.now();
      try {
        await waitInLine(lane, line, exchange, limits);
      } catch (error) {
        shed++;
        await brake.hold(key);
        throw error;
      }
      exchange.queuedMs = performance.now() - since;
    }
    try {
      const answer = await next();
      if (Buffer.isBuffer(answer.body)) lane.leave(line);
      else finished(answer.body, () => lane.leave(line));
      return answer;
    } catch (error) {
      lane.leave(line);
      throw error;
    } finally {
      lane.answered();
    }
  }

  return {
    stage,
    shed: () => shed,
    counts: () => Object.fromEntries([...lanes].map(([pool, lane]) => [pool, lane.counts()])),
  };
}
