import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Peer } from './peer.ts';

const SERVICE = fileURLToPath(new URL('service.ts', import.meta.url));

/** What a service answers from: see service.ts and tuned.ts.  */
export const MODES = ['rls', 'rlsTuned', 'claimsTuned', 'plain', 'plainTuned'] as const;
export type Mode = (typeof MODES)[number];

/** A fastify and pg service in a process of its own. */
export async function openService(mode: Mode, databaseUrl: string, keys: string): Promise<Peer> {
  const child = fork(SERVICE, [mode, databaseUrl, keys], { execArgv: [] });
  const ended = once(child, 'exit');
  const [origin] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the ${mode} service ended with ${code}`))),
  ]);
  return {
    origin: String(origin),
    async close() {
      child.kill();
      await ended;
    },
  };
}
