import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { openLedger, type Round } from './ledger.ts';

/** Looks again this soon when a look found nothing, and then dozes: most work comes in bursts. */
const IDLE_LOOKS_MS = [2, 5, 10, 20, 40];
/** A round costs as much for one entry as for dozens, and who writes pays for it: after one with fewer, some gather. */
const FEW = 100;
/** As long as so many such rounds take; an entry waits for it once, and only behind others. */
const GATHER_SHARE = 4;
const GATHER_MS = 15;
/** While nobody listens: the first event for somebody who has just begun to may wait as long. */
const UNHEARD_MS = 250;
/** A dozing consumer looks this often even when nobody calls; and any consumer for backlogs that a worker has left. */
const DOZE_MS = 3000;
const RECONNECT_MS = [100, 250, 500, 1000, 2000, 5000];
/** Another transaction was in the way, which a tenant can bring about again and again: the others' entries do not wait for that. */
const IN_THE_WAY = new Set(['23503', '40P01', '40001', '55P03']);
export const IN_THE_WAY_MS = 10;
export const isInTheWay = (error: unknown) => IN_THE_WAY.has(String((error as { code?: unknown }).code));

export interface ConsumerOptions {
  connectionString: string;
  /** One of ledger.consumers. */
  consumer: string;
  /**
   * Claims slots, hands their entries over and commits, on the connection it is given. Repeated after a crash, it gets the
   * same entries again: what it hands over has to be recognisable by them.
   */
  round: (client: pg.Client) => Promise<Round>;
  /**
   * Hands over some of what tenants have that are set aside, in a transaction of its own; its result is whether there may be more. Called
   * between rounds while there is any, and now and then: a worker that died may have left some.
   */
  backlogs: (client: pg.Client) => Promise<boolean>;
  log: Logger;
}

/**
 * Follows the ledger for one consumer until stopped, with as many others as there are workers. Reconnects after any error;
 * entries wait in the ledger meanwhile.
 * @returns stop(), which resolves when the round in hand has been committed
 */
export function startConsumer({ connectionString, consumer, round, backlogs, log }: ConsumerOptions) {
  const stopping = new AbortController();
  const { signal } = stopping;
  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  let failures = 0;

  async function follow(): Promise<void> {
    const ledger = await openLedger(connectionString, consumer);
    try {
      await ledger.keepMarks(log);
      let idle = 0;
      let behind = false;
      let lookedAt = Number.NEGATIVE_INFINITY;
      while (!signal.aborted) {
        const begun = performance.now();
        const { entries: count, unheard, hasBacklogs } = await ledger.follow(round);
        failures = 0;
        if (behind || hasBacklogs || begun - lookedAt > DOZE_MS) {
          lookedAt = begun;
          behind = await ledger.run(backlogs);
          if (behind) continue;
        }
        if (unheard) {
          await pause(UNHEARD_MS);
        } else if (count > 0) {
          log.debug({ consumer, count }, 'entries dispatched');
          idle = 0;
          if (count < FEW) await pause(Math.min(GATHER_MS, GATHER_SHARE * (performance.now() - begun)));
        } else if (idle < IDLE_LOOKS_MS.length) {
          await pause(IDLE_LOOKS_MS[idle] ?? 0);
          idle += 1;
        } else {
          const woken = await ledger.sleep(DOZE_MS, signal);
          if (woken === 'called') idle = 0;
          // Entries that an unfinished writer holds back: look again soon, without spinning.
          if (woken === 'work waits') idle = IDLE_LOOKS_MS.length - 1;
        }
      }
    } finally {
      await ledger.close();
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        await follow();
      } catch (error) {
        const passes = isInTheWay(error);
        const wait = passes ? IN_THE_WAY_MS : (RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)] ?? 0);
        if (!passes) failures += 1;
        log.warn({ consumer, error: (error as Error).message, retry_ms: wait }, 'dispatch interrupted');
        await pause(wait);
      }
    }
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
