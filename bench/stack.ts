import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, type Pool } from '../functions/database.ts';
import { readJson, stateDirectory } from '../functions/stack/state.ts';
import { openStack, type StackInfo } from '../functions/stack/supervisor.ts';
import { until, untilOk } from '../functions/stack/until.ts';

export interface BenchStack {
  info: StackInfo;
  directory: string;
  /** Of the superuser. */
  admin: Pool;
  /** postgres, postgrest, edge, worker. */
  pids(): Record<string, number>;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * A stack of the bench's own on free ports, stopped and removed at the end, whatever happens.
 * @param settings of PostgreSQL, set before `work` begins; it is started anew where one of them needs that
 */
export async function withStack<T>(
  progress: (message: string) => void,
  work: (stack: BenchStack) => Promise<T>,
  settings: Record<string, string | number> = {},
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'rowhouse-bench-'));
  const opened = await openStack({ directory });
  const admin = createPool(opened.info.database.admin, 'bench', 4);
  const children = stateDirectory(directory).processes;
  const pids = () =>
    Object.fromEntries(
      Object.entries(readJson<Record<string, { pid: number }>>(children) ?? {}).map(([name, { pid }]) => [name, pid]),
    );
  const remove = async (force = false) => {
    await opened.stop(force);
    await rm(directory, { recursive: true, force: true });
  };
  const interrupted = () => void remove(true).finally(() => process.exit(130)); // as a shell says of Ctrl-C
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    for (const step of opened.steps) progress(await step.run(() => {}));
    if (Object.keys(settings).length > 0) {
      await applySettings(admin, settings, () => pids().postgres as number);
      const ready = await untilOk(`${opened.info.edge}/readyz`, { timeoutMs: 60_000 });
      if (!ready) throw new Error(`the stack did not come back with ${JSON.stringify(settings)}`);
      progress(`PostgreSQL with ${JSON.stringify(settings)}`);
    }
    return await work({ info: opened.info, directory, admin, pids });
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await admin.end();
    await remove();
  }
}

async function applySettings(admin: Pool, settings: Record<string, string | number>, postmaster: () => number) {
  for (const [name, value] of Object.entries(settings)) await admin.query(`alter system set ${name} = '${value}'`);
  await admin.query('select pg_reload_conf()');
  const waiting = async () => {
    const { rows } = await admin.query<{ count: number }>(
      'select count(*)::int as count from pg_settings where pending_restart',
    );
    return rows[0]?.count ?? 0;
  };
  const applied = () =>
    waiting().then(
      (count) => count === 0,
      () => false,
    );
  // The signal reaches PostgreSQL after the answer.
  await new Promise((resolve) => setTimeout(resolve, 200));
  if (await applied()) return;
  process.kill(postmaster(), 'SIGINT'); // The supervisor starts it again.
  if (!(await until(applied, { timeoutMs: 60_000 }))) throw new Error('PostgreSQL did not come back');
}
