import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { refusalOf, writeApart } from './divide.ts';
import type { Endpoint } from './endpoint.ts';
import { pause } from './intake.ts';
import { type Records, type Result, record, type StateChange } from './records.ts';

/** An attempt that has ended, or a delivery that waits for another. */
export type Noted = { endpoint: Endpoint } & (
  | { result: Result; freed?: Records['freed'][number] }
  | { parked: Records['parked'][number] }
);

/** What is written of an endpoint: what came of a delivery, or its state. */
export interface Item {
  endpoint: Endpoint;
  noted?: Noted;
  state?: StateChange;
}

/** Writes batches of items, of many tenants: together, or apart where something in them is locked or refused. */
export function createBatches({ pool, log }: { pool: Pool; log: Logger }) {
  async function flush(items: Item[]): Promise<void> {
    const records: Records = { results: [], parked: [], freed: [], states: [] };
    const freed = new Map<string, Records['freed'][number]>();
    for (const { noted: entry, state } of items) {
      if (state) records.states.push(state);
      else if (entry && 'parked' in entry) records.parked.push(entry.parked);
      else if (entry) {
        records.results.push(entry.result);
        if (entry.freed) freed.set(`${entry.freed.e} ${entry.freed.k}`, entry.freed);
      }
    }
    records.freed = [...freed.values()];
    const recorded = await record(pool, records);
    // Deleted, or replayed in the same moment.
    if (recorded < records.results.length)
      log.debug({ missing: records.results.length - recorded }, 'attempts not recorded');
  }

  /** Without the words of the receiver, which are all that can be wrong with it; or else not at all, and it is done again. */
  async function refused(item: Item, error: Error): Promise<void> {
    const about = { tenant_id: item.endpoint.tenant, endpoint_id: item.endpoint.id, error: error.message };
    const { noted: entry, state } = item;
    try {
      if (state) await flush([{ ...item, state: { ...state, error: null } }]);
      else if (entry && 'result' in entry) {
        const result = { ...entry.result, error: entry.result.error && 'not_recorded', response: null };
        await flush([{ ...item, noted: { ...entry, result } }]);
      } else throw error;
      log.warn(about, 'an attempt is recorded without what was answered');
    } catch (again) {
      if (refusalOf(again) !== 'content') throw again;
      log.error(about, 'an attempt cannot be recorded: its endpoint pauses, and it is made again');
      if (!state) pause(item.endpoint, 'an attempt could not be recorded');
    }
  }

  /**
   * @param written is called for what was
   * @returns tenants whose items are locked
   * @throws what the database throws, when that is neither
   */
  return (items: Item[], written: (some: Item[]) => void): Promise<Set<string>> =>
    writeApart(items, ({ endpoint }) => endpoint.tenant, flush, { written, refused });
}
