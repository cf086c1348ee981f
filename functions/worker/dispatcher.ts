import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { type Ledger, openLedger, type Round } from './ledger.ts';

/** Looks again this soon when a look found nothing, and then dozes: most work comes in bursts. */
const IDLE_LOOKS_MS = [2, 5, 10, 20, 40];
/** A round costs as much for one entry as for dozens, and who writes pays for it: after one with fewer, some gather. */
const FEW = 100;
/** As long as so many such rounds take; an entry waits for it once, and only behind others. */
const GATHER_SHARE = 4;
const GATHER_MS = 15;
/** While nobody listens: the first event for somebody who has just begun to may wait as long. */
const UNHEARD_MS = 250;
/** A dozing consumer looks this often even when nobody calls. */
const DOZE_MS = 3000;
const RECONNECT_MS = [100, 250, 500, 1000, 2000, 5000];
/** Another transaction was in the way, which a tenant can bring about again and again: the others' entries do not wait for that. */
const IN_THE_WAY = new Set(['23503', '40P01', '40001', '55P03']);
const IN_THE_WAY_MS = 10;

export interface ConsumerOptions {
  connectionString: string;
  /** One of ledger.consumers. */
  consumer: string;
  /**
   * Claims slots, hands their entries over and commits, on the connection it is given. Repeated after a crash, it gets the
   * same entries again: what it hands over has to be recognisable by them.
   */
  round: (client: pg.Client) => Promise<Round>;
  /** Called after a round, when its cursors have moved and its slots are free. */
  onRound?: () => void;
  /** The slots that are this follower's at the moment; default: all. */
  among?: () => readonly number[] | undefined;
  log: Logger;
}

/**
 * Follows the ledger for one consumer until stopped, with as many others as there are workers. Reconnects after any error;
 * entries wait in the ledger meanwhile.
 * @returns stop(), which resolves when the round in hand has been committed
 */
export function startConsumer({ connectionString, consumer, round, onRound, among, log }: ConsumerOptions) {
  const stopping = new AbortController();
  const { signal } = stopping;
  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  let failures = 0;
  let ledger: Ledger | undefined;
  let called = false;

  async function follow(): Promise<void> {
    ledger = await openLedger(connectionString, consumer);
    try {
      await ledger.keepMarks(log);
      let idle = 0;
      while (!signal.aborted) {
        const begun = performance.now();
        const { entries: count, unheard } = await ledger.follow(round);
        failures = 0;
        onRound?.();
        if (called) idle = 0;
        called = false;
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
          const woken = await ledger.sleep(DOZE_MS, signal, among?.());
          if (woken === 'called') idle = 0;
          // Entries that an unfinished writer holds back: look again soon, without spinning.
          if (woken === 'work waits') idle = IDLE_LOOKS_MS.length - 1;
        }
      }
    } finally {
      await ledger.close();
      ledger = undefined;
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        await follow();
      } catch (error) {
        const passes = IN_THE_WAY.has(String((error as { code?: unknown }).code));
        const wait = passes ? IN_THE_WAY_MS : (RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)] ?? 0);
        if (!passes) failures += 1;
        log.warn({ consumer, error: (error as Error).message, retry_ms: wait }, 'dispatch interrupted');
        await pause(wait);
      }
    }
  }

  const running = run();
  return {
    /** There may be work in slots that were not this follower's before. */
    call(): void {
      called = true;
      ledger?.call();
    },

    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
