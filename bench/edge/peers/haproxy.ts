import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../../functions/stack/ports.ts';
import { until } from '../../../functions/stack/until.ts';
import type { Peer } from '../../peers/services/peer.ts';

const configuration = (port: number, server: string) => `
global
  maxconn 1024
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend edge
  bind 127.0.0.1:${port}
  default_backend postgrest
backend postgrest
  server postgrest ${server}
`;

/** HAProxy in front of PostgREST, without rules. @returns why not, where it is not installed */
export async function openHaproxy(directory: string, postgrestUrl: string): Promise<Peer | { missing: string }> {
  const version = spawnSync('haproxy', ['-v'], { encoding: 'utf8', env: { ...process.env, PATH: searchPath() } });
  if (version.error) return { missing: 'HAProxy is not installed here (Debian: apt-get install haproxy).' };
  const port = await freePort();
  const file = join(directory, 'haproxy.cfg');
  await writeFile(file, configuration(port, new URL(postgrestUrl).host));
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore', env: { ...process.env, PATH: searchPath() } });
  const ended = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  const answers = () =>
    fetch(origin, { method: 'HEAD' }).then(
      () => true,
      () => false,
    );
  if (!(await until(answers, { timeoutMs: 5000 }))) {
    child.kill('SIGKILL');
    return { missing: 'HAProxy is installed and does not start.' };
  }
  return {
    origin,
    pid: child.pid as number,
    async close() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Debian puts it where only root's PATH leads. */
const searchPath = () => `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
