import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What arrived where PostgREST would be. */
export interface Received {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  body: string;
}

const SLOW_MS = 150;

/** A server in PostgREST's place that writes down what it gets. It answers everything with an empty list, and `…?slow…` after a while. */
export async function startRecorder() {
  const received: Received[] = [];
  let inHand = 0;
  let mostInHand = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = '', url = '', headers, rawHeaders } = request;
    // The edge asks it whether it is there.
    if (method !== 'HEAD') {
      received.push({ method, url, headers, rawHeaders, body: Buffer.concat(chunks).toString() });
      mostInHand = Math.max(mostInHand, ++inHand);
      if (url.includes('?slow')) await delay(SLOW_MS);
      inHand--;
    }
    response.writeHead(200, { 'content-type': 'application/json', 'content-range': '*/*' }).end('[]');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** What came since it was asked last. */
    take: () => received.splice(0),
    /** How many it had in hand at once, at most, since it was asked last. */
    takeMostInHand() {
      const most = mostInHand;
      mostInHand = inHand;
      return most;
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface RawAnswer {
  /** Of each answer, in order. */
  statuses: number[];
  text: string;
  /** Whether the other side closed the connection; false: it was still open after `patienceMs`. */
  closed: boolean;
}

/** Sends bytes as they are, piece by piece, and reads until the other side closes or has been silent for `patienceMs`. */
export function sendRaw(
  url: string,
  pieces: (string | Buffer)[],
  { patienceMs = 1000, gapMs = 20 } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    let silence: NodeJS.Timeout | undefined;
    const end = (closed: boolean) => {
      clearTimeout(silence);
      socket.destroy();
      const text = Buffer.concat(chunks).toString('latin1');
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) [^\r]*\r\n(?=[A-Za-z-]+:)/g)].map(([, status]) =>
        Number(status),
      );
      resolve({ statuses, text, closed });
    };
    const wait = () => {
      clearTimeout(silence);
      silence = setTimeout(() => end(false), patienceMs);
    };
    socket.on('connect', async () => {
      for (const [index, piece] of pieces.entries()) {
        if (index > 0) await new Promise((next) => setTimeout(next, gapMs));
        if (!socket.writable) break;
        socket.write(piece);
        wait();
      }
    });
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      wait();
    });
    socket.on('close', () => end(true));
    // A reset after the answer: what was read counts.
    socket.on('error', (error) => (chunks.length > 0 ? end(true) : reject(error)));
  });
}

export interface SentAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  body: string;
}

/**
 * One request with exactly these headers, on a connection of its own: fetch adds some and forbids others.
 * `from`: another address of the loopback network, for a bucket of its own.
 */
export function sendTo(
  url: string,
  {
    method = 'GET',
    path,
    headers = {},
    body,
    from,
  }: { method?: string; path: string; headers?: Record<string, string>; body?: string; from?: string },
): Promise<SentAnswer> {
  const { hostname, port } = new URL(url);
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        hostname,
        port,
        method,
        path,
        headers: { ...headers, ...length },
        agent: false,
        maxHeaderSize: 64 * 1024,
        ...(from ? { localAddress: from } : {}),
      },
      async (response) => {
        const chunks: Buffer[] = [];
        try {
          for await (const chunk of response) chunks.push(chunk);
        } catch (error) {
          return reject(error);
        }
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, body: bytes.toString() });
      },
    );
    sent.on('error', reject).end(body);
  });
}
