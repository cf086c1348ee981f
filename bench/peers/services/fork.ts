import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '../../../functions/environment.ts';
import type { Peer } from './peer.ts';

/**
 * Of every service in Node. More connections than the stack's PostgREST has, and than two cores can keep busy; node-postgres would close
 * them while the other sides have their turns.
 */
export const POOL = { max: 8, idleTimeoutMillis: 0 };

/**
 * Starts hand-written.ts, postgraphile.ts or prisma.ts.
 * @param mode what it answers from, and how
 * @param keys a JWKS
 * @throws Error when it ends before it listens
 */
export async function openService(file: string, mode: string, databaseUrl: string, keys: string): Promise<Peer> {
  const entry = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(entry, [mode, databaseUrl, keys], {
    execArgv: [],
    env: programEnvironment({ NODE_ENV: 'production', GRAPHILE_ENV: 'production' }),
  });
  const ended = once(child, 'exit');
  const [origin] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`${file} ${mode} ended with ${code}`))),
  ]);
  return {
    origin: String(origin),
    pid: child.pid as number,
    async close() {
      child.kill();
      await ended;
    },
  };
}
