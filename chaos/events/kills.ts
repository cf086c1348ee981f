import { setTimeout as delay } from 'node:timers/promises';
import type { Child } from '../../functions/stack/child.ts';
import { identify, isAlive } from '../../functions/stack/processes.ts';
import { until } from '../../functions/stack/until.ts';

export interface Target {
  child: Child;
  /** SIGQUIT is PostgreSQL's immediate stop: what is in its memory is gone, and recovery is left to the next start. */
  signal: 'SIGKILL' | 'SIGQUIT';
  /** One of these is stopped meanwhile, and goes on later as if nothing had happened: what it held is another's by then. */
  stalls?: readonly Child[];
}

export interface Kills {
  counts: Record<string, number>;
  total(): number;
  stalled(): number;
  /** Processes that ended without being killed here. */
  fallen: Record<string, number>;
  /** Kills one, of those killed least so far; it is started again a moment later. */
  one(): Promise<void>;
  /** Resolves when all run; none is killed or started any more. */
  settle(): Promise<void>;
}

const WATCH_MS = 50;
const START_AGAIN_MS = 300;
const STALL_MS = [500, 4000] as const;

/** Kills processes and starts again what has ended, however it did. */
export function startKills(targets: readonly Target[]): Kills {
  const counts: Record<string, number> = {};
  const times = new Map<Target, number>(targets.map((target) => [target, 0]));
  const running = new Set<Target>(targets);
  const fallen: Record<string, number> = {};
  let stalled = 0;
  let ending = false;

  function stall(child: Child | undefined): void {
    const identity = identify(child?.pid() ?? 0);
    if (!identity) return;
    stalled += 1;
    process.kill(identity.pid, 'SIGSTOP');
    const goOn = () => {
      if (isAlive(identity)) process.kill(identity.pid, 'SIGCONT');
    };
    setTimeout(goOn, STALL_MS[0] + Math.random() * (STALL_MS[1] - STALL_MS[0]));
  }

  async function startAgain({ child }: Target): Promise<void> {
    await delay(Math.random() * START_AGAIN_MS);
    // Without a database, most of them end again at once.
    while (
      !ending &&
      !(await child.start().then(
        () => true,
        () => false,
      ))
    )
      await delay(START_AGAIN_MS);
  }

  async function keep(target: Target): Promise<void> {
    while (!ending) {
      const identity = identify(target.child.pid() ?? 0);
      await until(() => ending || !identity || !isAlive(identity), { timeoutMs: 3_600_000, intervalMs: WATCH_MS });
      if (ending) return;
      const { name } = target.child;
      if (running.delete(target)) fallen[name] = (fallen[name] ?? 0) + 1;
      await startAgain(target);
      running.add(target);
    }
  }
  const keeping = targets.map(keep);

  return {
    counts,
    total: () => Object.values(counts).reduce((sum, count) => sum + count, 0),
    stalled: () => stalled,
    fallen,
    async one() {
      await until(() => running.size > 0, { timeoutMs: 60_000 });
      const least = Math.min(...[...running].map((target) => times.get(target) ?? 0));
      const choice = [...running].filter((target) => times.get(target) === least);
      const target = choice[Math.floor(Math.random() * choice.length)];
      const pid = target?.child.pid();
      if (!target || pid === undefined) return;
      running.delete(target);
      times.set(target, least + 1);
      counts[target.child.name] = (counts[target.child.name] ?? 0) + 1;
      if (target.stalls) stall(target.stalls[Math.floor(Math.random() * target.stalls.length)]);
      process.kill(pid, target.signal);
    },
    async settle() {
      await until(() => running.size === targets.length, { timeoutMs: 120_000, intervalMs: WATCH_MS });
      ending = true;
      await Promise.all(keeping);
    },
  };
}
