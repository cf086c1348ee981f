import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { buildConnector } from 'undici';
import { SendFailure } from './outcome.ts';
import type { Tunnel } from './proxy.ts';

export interface ConnectOptions {
  /** The checked addresses of a name. @throws SendFailure */
  resolve(hostname: string): Promise<readonly string[]>;
  tunnel?: Tunnel;
  timeoutMs: number;
  tlsTimeoutMs: number;
  /** Certificate authorities instead of those that Node knows. */
  ca?: string[];
}

/** How long the first address may stay silent until the next one is tried as well (RFC 8305). */
const NEXT_ADDRESS_MS = 250;
/** Half a KiB to 4 KiB each. */
const KEPT_SESSIONS = 1000;

/** Settles when the socket has connected, has failed, or has taken too long; what fails is destroyed. */
function settled<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  timeoutMs: number,
  failed: (error: NodeJS.ErrnoException) => SendFailure,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const stage = event === 'connect' ? 'connection' : 'TLS handshake';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new SendFailure('connect_timeout', `no ${stage} in ${timeoutMs} ms`));
    }, timeoutMs);
    // It stays: a socket may break in the moment before undici listens.
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(failed(error));
    });
    socket.once('close', () => {
      clearTimeout(timer);
      reject(failed(new Error('closed by the other side')));
    });
    socket.once(event, () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

/** Connects to one of the addresses that were checked, and to no other: the name is not resolved again. */
function open(hostname: string, addresses: readonly string[], port: number, timeoutMs: number): Promise<Socket> {
  const answers = addresses.map((address) => ({ address, family: isIP(address) }));
  const socket = connectTcp({
    host: hostname,
    port,
    lookup: (_hostname, _options, done) => done(null, answers),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    keepAlive: true,
    noDelay: true,
  });
  return settled(socket, 'connect', timeoutMs, (error) => {
    const code = error.code ?? error.message;
    return new SendFailure(code === 'ETIMEDOUT' ? 'connect_timeout' : 'connect_failed', code, error);
  });
}

function tlsFailure(error: NodeJS.ErrnoException & { reason?: string }): SendFailure {
  const { code, reason, message } = error;
  return new SendFailure('tls_failed', code && reason ? `${code}: ${reason}` : (code ?? message), error);
}

/** undici's connector: resolves, checks, connects to what was checked (or lets a proxy do so), and ends with TLS where the URL says so. */
export function createConnector(options: ConnectOptions): buildConnector.connector {
  const sessions = new LRUCache<string, Buffer>({ max: KEPT_SESSIONS });

  async function secure(hostname: string, port: number, socket: Socket): Promise<Socket> {
    const name = hostname.replace(/\.$/, '');
    const key = `${name}:${port}`;
    const session = sessions.get(key);
    const terms: ConnectionOptions = {
      socket,
      host: name,
      // An address is no server name (RFC 6066); the certificate is compared with `host` then.
      servername: isIP(name) ? '' : name,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      ...(session && { session }),
      ...(options.ca && { ca: options.ca }),
    };
    const tls = connectTls(terms);
    tls.on('session', (fresh) => sessions.set(key, fresh));
    try {
      return await settled(tls, 'secureConnect', options.tlsTimeoutMs, tlsFailure);
    } catch (error) {
      sessions.delete(key);
      throw error;
    }
  }

  async function connect(protocol: string, hostname: string, port: number): Promise<Socket> {
    const { tunnel, timeoutMs } = options;
    const addresses = tunnel?.resolvesItself ? [hostname] : await options.resolve(hostname);
    const socket = tunnel
      ? await tunnel.open(addresses[0] as string, port)
      : await open(hostname, addresses, port, timeoutMs);
    return protocol === 'https:' ? await secure(hostname, port, socket) : socket;
  }

  return ({ protocol, hostname, port }, done) => {
    connect(protocol, hostname, Number(port) || (protocol === 'https:' ? 443 : 80)).then(
      (socket) => done(null, socket),
      (error) => done(error, null),
    );
  };
}
