import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../../database.ts';
import type { Logger } from '../../log.ts';
import { createBatches, type Item, type Noted } from './batch.ts';
import { type Endpoint, forget, isUnsaved } from './endpoint.ts';
import type { Pacing } from './pacing.ts';
import { stateOf } from './records.ts';

const MOST = 1000;
/** The same while the machine is shared. */
const FEW = 100;
const RETRY_MS = 250;
const LOCKED_MS = 50;
/** How often a worker that stops tries again what somebody has locked: for as long as a client's statement may take. */
const MOST_LOCKED = 40;
/** A watermark is worth a write once a second; a held snapshot keeps every version of the row. */
const SAVE_MS = 1000;

export type Recorder = ReturnType<typeof createRecorder>;

/**
 * Writes down what came of attempts: all that ended while the last statement ran, in the next one.
 * @param onRecorded is called for each that is written, before the next statement
 */
export function createRecorder(options: {
  pool: Pool;
  pacing: Pick<Pacing, 'isShared' | 'turn'>;
  log: Logger;
  onRecorded: (endpoint: Endpoint, position: number) => void;
}) {
  const { pool, pacing, log, onRecorded } = options;
  const writeBatch = createBatches({ pool, log });
  let noted: Noted[] = [];
  const changed = new Set<Endpoint>();
  /** Tenants somebody has locked deliveries or states of: the others go on. */
  const lockedUntil = new Map<string, number>();
  let running: Promise<void> | undefined;

  function takeStates(now: number, all: boolean): Endpoint[] {
    const due = [...changed].filter(
      (endpoint) => !lockedUntil.has(endpoint.tenant) && (all || endpoint.dirty || now - endpoint.savedAt >= SAVE_MS),
    );
    for (const endpoint of due) {
      changed.delete(endpoint);
      endpoint.savedAt = now;
      endpoint.dirty = false;
    }
    // Not described, but leased: it was paused, which its tenant reads.
    return due.filter(({ described, leased }) => described !== null || leased);
  }

  /** @returns whether somebody has locked any of it */
  async function write(batch: Noted[], states: Endpoint[]): Promise<boolean> {
    const items: Item[] = [
      ...batch.map((entry) => ({ endpoint: entry.endpoint, noted: entry })),
      ...states.map((endpoint) => ({ endpoint, state: stateOf(endpoint) })),
    ];
    const changes = new Map(states.map((endpoint) => [endpoint, endpoint.changes]));
    const done = new Set<Item>();
    try {
      const locked = await writeBatch(items, (some) => {
        for (const item of some) done.add(item);
      });
      for (const tenant of locked) lockedUntil.set(tenant, Date.now() + RETRY_MS);
      return locked.size > 0;
    } finally {
      const written = new Set<Noted>();
      for (const item of items) {
        if (!done.has(item)) continue;
        if (item.noted) written.add(item.noted);
        else item.endpoint.saved = Math.max(item.endpoint.saved, changes.get(item.endpoint) ?? 0);
      }
      for (const item of items) {
        // Unsaved is also what has been paused because an attempt could not be recorded.
        if ((done.has(item) || item.noted) && !isUnsaved(item.endpoint)) continue;
        changed.add(item.endpoint);
        item.endpoint.dirty = true;
      }
      // What was unparked meanwhile is no longer there.
      const recorded = noted.filter((entry) => written.has(entry));
      noted = noted.filter((entry) => !written.has(entry));
      for (const entry of recorded) onRecorded(entry.endpoint, 'parked' in entry ? entry.parked.p : entry.result.p);
    }
  }

  async function run(all: boolean): Promise<void> {
    let failed = false;
    let locked = 0;
    while (noted.length > 0 || changed.size > 0) {
      const endTurn = await pacing.turn();
      const now = Date.now();
      for (const [tenant, until] of lockedUntil) if (until <= now) lockedUntil.delete(tenant);
      const states = takeStates(now, all);
      const free = lockedUntil.size > 0 ? noted.filter(({ endpoint }) => !lockedUntil.has(endpoint.tenant)) : noted;
      const batch = free.slice(0, pacing.isShared() && !all ? FEW : MOST);
      if (batch.length === 0 && states.length === 0) {
        endTurn();
        if (noted.length === 0 && lockedUntil.size === 0) return;
        await delay(LOCKED_MS);
        continue;
      }
      try {
        locked = (await write(batch, states)) ? locked + 1 : 0;
        failed = false;
        if (all && locked > MOST_LOCKED) return;
      } catch (error) {
        if (!failed) log.warn({ error: (error as Error).message }, 'attempts are kept until the database answers');
        if (failed && all) throw error;
        failed = true;
        await delay(RETRY_MS);
      } finally {
        endTurn();
      }
    }
  }

  function start(all = false): Promise<void> {
    running ??= run(all).finally(() => {
      running = undefined;
    });
    return running;
  }

  return {
    note(entry: Noted): void {
      noted.push(entry);
      changed.add(entry.endpoint);
      if (!running) void start().catch(() => {});
    },

    /** The health of the endpoint has changed: others have to know it now. */
    touch(endpoint: Endpoint): void {
      changed.add(endpoint);
      endpoint.changes += 1;
      endpoint.dirty = true;
      if (!running) void start().catch(() => {});
    },

    /** What was set aside and is not recorded yet is read again: what it would wait behind may not be there any more. */
    unpark(): void {
      for (const entry of noted) {
        if (!('parked' in entry)) continue;
        entry.endpoint.unrecorded -= 1;
        forget(entry.endpoint, entry.parked.p);
      }
      noted = noted.filter((entry) => !('parked' in entry));
    },

    /** Called now and then: saves what has waited long enough. */
    tick(): void {
      if (!running && changed.size > 0) void start().catch(() => {});
    },

    /** Writes everything. @throws what the database throws, when it does so twice */
    async finish(): Promise<void> {
      await running?.catch(() => {});
      await start(true);
    },
  };
}
