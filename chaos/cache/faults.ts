import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../../functions/database.ts';
import type { DatabaseProxy } from '../proxy.ts';

const FOLLOWER = 'rowhouse-edge-follower';
const BACKENDS = `select pid from pg_stat_activity where application_name = '${FOLLOWER}' and datname = current_database()`;

const between = (least: number, most: number) => least + Math.random() * (most - least);

export interface Faults {
  counts: Record<string, number>;
  /** Ends what is under way; nothing stays stopped. */
  stop(): Promise<void>;
}

/** Until stopped: holds up, cuts off, ends or stops the followers' connections, or all of an edge's, at random. */
export function startFaults(admin: Pool, proxies: readonly DatabaseProxy[]): Faults {
  const counts: Record<string, number> = {};
  const ending = new AbortController();

  async function backend(): Promise<number | undefined> {
    const { rows } = await admin.query<{ pid: number }>(BACKENDS);
    return rows[Math.floor(Math.random() * rows.length)]?.pid;
  }

  const faults: Record<string, (proxy: DatabaseProxy) => Promise<void> | void> = {
    'follower stalled': (proxy) => proxy.pause(between(20, 1500), FOLLOWER),
    'follower cut off': (proxy) => proxy.cut(FOLLOWER),
    'all connections stalled': (proxy) => proxy.pause(between(20, 600)),
    'all connections cut off': (proxy) => proxy.cut(),
    async 'backend ended'() {
      await admin.query('select pg_terminate_backend($1)', [await backend()]);
    },
    async 'backend stopped'() {
      const pid = await backend();
      if (pid === undefined) return;
      process.kill(pid, 'SIGSTOP');
      try {
        await delay(between(20, 500));
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    },
  };
  const names = Object.keys(faults);

  async function run() {
    while (!ending.signal.aborted) {
      await delay(between(50, 700), undefined, { signal: ending.signal }).catch(() => {});
      if (ending.signal.aborted) return;
      const name = names[Math.floor(Math.random() * names.length)] as string;
      counts[name] = (counts[name] ?? 0) + 1;
      // A backend may be gone by the time it is looked at.
      await Promise.resolve(faults[name]?.(proxies[Math.floor(Math.random() * proxies.length)] as DatabaseProxy)).catch(
        () => {},
      );
    }
  }
  const running = run();
  return {
    counts,
    async stop() {
      ending.abort();
      await running;
    },
  };
}
