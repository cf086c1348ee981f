import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Pool } from 'undici';
import { SendFailure } from './outcome.ts';
import { familyOf } from './ranges.ts';

export interface ProxyOptions {
  /** http:// or https://, with user and password where it wants them. */
  url: string;
  /**
   * Who resolves names. `here` (default): names are resolved and checked as without a proxy, and it is given the address. `proxy`:
   * it is given the name, and what that resolves to is the proxy's to refuse.
   */
  resolve?: 'here' | 'proxy';
}

export const NO_TUNNEL = 'the proxy opened no tunnel';

export interface Tunnel {
  resolvesItself: boolean;
  /** @throws SendFailure connect_failed, connect_timeout */
  open(host: string, port: number): Promise<Socket>;
  close(): Promise<void>;
}

/** Connections through an egress proxy, by CONNECT (RFC 9110, section 9.3.6), for http and https alike. */
export function createTunnel({ url, resolve = 'here' }: ProxyOptions, timeoutMs: number): Tunnel {
  const { origin, username, password } = new URL(url);
  const credentials = [username, password].map(decodeURIComponent).join(':');
  const authorization =
    username === '' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
  const pool = new Pool(origin, { connect: { timeout: timeoutMs } });

  async function connect(authority: string): Promise<{ statusCode: number; socket: Duplex }> {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      return await pool.connect({ path: authority, headers: { host: authority, ...authorization }, signal });
    } catch (cause) {
      if (signal.aborted) throw new SendFailure('connect_timeout', `no tunnel in ${timeoutMs} ms`, cause);
      throw new SendFailure('connect_failed', 'the proxy cannot be reached', cause);
    }
  }

  return {
    resolvesItself: resolve === 'proxy',
    async open(host, port) {
      const authority = familyOf(host) === 'ipv6' ? `[${host}]:${port}` : `${host}:${port}`;
      const { statusCode, socket } = await connect(authority);
      // undici leaves it to us once it is a tunnel.
      socket.on('error', () => {});
      if (statusCode === 200) return socket as Socket;
      socket.destroy();
      // One that resolves names itself answers otherwise where it refuses what a name leads to than where there is no such name.
      throw new SendFailure('connect_failed', NO_TUNNEL, undefined, `the proxy answered ${statusCode}`);
    },
    close: () => pool.destroy(),
  };
}
