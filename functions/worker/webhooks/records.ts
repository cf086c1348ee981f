import type { Pool } from '../../database.ts';
import { type Endpoint, isUnsaved } from './endpoint.ts';

/** What is written down, as webhook.record() takes it. */

export interface Result {
  t: string;
  e: string;
  p: number;
  attempt: number;
  status: 'succeeded' | 'dead' | 'pending';
  code: number | null;
  error: string | null;
  latency: number;
  response: string | null;
  at: number;
  next_at: number | null;
}

export interface StateChange {
  t: string;
  e: string;
  generation: number;
  /** 0: it is not known. */
  watermark: number;
  /** Null: of its health, nothing has changed. */
  circuit: string | null;
  opened: number;
  paused: number | null;
  failing: number | null;
  failures: number;
  error: string | null;
}

export interface Records {
  results: Result[];
  parked: { t: string; e: string; p: number }[];
  freed: { t: string; e: string; k: string }[];
  states: StateChange[];
}

/** Below every delivery that waits for its first attempt. */
function watermarkOf(endpoint: Endpoint): number {
  let lowest = endpoint.readPosition + 1;
  for (const position of endpoint.open) if (position < lowest) lowest = position;
  return lowest - 1;
}

/** What others have to know of an endpoint. */
export function stateOf(endpoint: Endpoint): StateChange {
  const { health } = endpoint;
  return {
    t: endpoint.tenant,
    e: endpoint.id,
    generation: endpoint.generation,
    watermark: endpoint.described ? watermarkOf(endpoint) : 0,
    circuit: isUnsaved(endpoint) ? health.circuit : null,
    opened: health.opened,
    paused: health.pausedUntil || null,
    failing: health.failingSince,
    failures: health.failures,
    error: health.lastError?.slice(0, 500) ?? null,
  };
}

/** Receivers answer anything: a jsonb string has neither NUL nor half a surrogate pair, which cutting it can leave. */
const storable = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\ufffd') : value;

/** @returns how many attempts were recorded */
export async function record(pool: Pool, { results, parked, freed, states }: Records): Promise<number> {
  const { rows } = await pool.query<{ recorded: number }>({
    name: 'record',
    text: 'select webhook.record($1, $2, $3, $4) as recorded',
    values: [results, parked, freed, states].map((part) => JSON.stringify(part, storable)),
  });
  return rows[0]?.recorded ?? 0;
}
