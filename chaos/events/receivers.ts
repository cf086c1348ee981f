import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Endpoint, Receipt } from './model.ts';
import { isSigned } from './signatures.ts';

/** What a receiver does instead of accepting; each notes the request before. */
const FAULTS: Record<string, (response: ServerResponse) => void> = {
  'error 500': (response) => void response.writeHead(500).end('broken'),
  'error 503': (response) => void response.writeHead(503).end(),
  'busy 429': (response) => void response.writeHead(429, { 'retry-after': '1' }).end('slower'),
  redirect: (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  hang: () => {},
  reset: (response) => void response.socket?.resetAndDestroy(),
  garbage: (response) => void response.socket?.end('SMTP/0.9 whatever\r\n\r\n\0\xff'),
};
const NAMES = Object.keys(FAULTS);
/** Of requests, while a receiver is up. */
const FAULT_RATE = 0.06;
const SLOW_RATE = 0.03;
/** Now and then a receiver answers nothing but one fault for a while. */
const UP_MS = [2000, 15_000] as const;
const DOWN_MS = [200, 2500] as const;

const between = ([least, most]: readonly [number, number]) => least + Math.random() * (most - least);
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

interface Weather {
  until: number;
  /** What it answers everything with; undefined: it is up. */
  down: string | undefined;
}

export interface Receivers {
  urlOf(nth: number): string;
  /** What comes to a URL is this endpoint's. */
  serve(nth: number, endpoint: Endpoint): void;
  receipts: readonly Receipt[];
  faults: Record<string, number>;
  /** From now on everything is accepted. */
  calm(): void;
  close(): Promise<void>;
}

export async function openReceivers(): Promise<Receivers> {
  const endpoints = new Map<string, Endpoint>();
  const weather = new Map<string, Weather>();
  const receipts: Receipt[] = [];
  const faults: Record<string, number> = {};
  let calm = false;

  /** @returns the name of a fault, or undefined where the request is accepted */
  function faultOf(path: string): string | undefined {
    if (calm) return undefined;
    const now = performance.now();
    let state = weather.get(path) ?? { until: now + between(UP_MS), down: undefined };
    if (state.until < now) {
      const down = state.down === undefined ? pick(NAMES) : undefined;
      state = { until: now + between(down === undefined ? UP_MS : DOWN_MS), down };
    }
    weather.set(path, state);
    return state.down ?? (Math.random() < FAULT_RATE ? pick(NAMES) : undefined);
  }

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const endpoint = endpoints.get(request.url ?? '');
    if (!endpoint) throw new Error(`nobody is at ${request.url}`);
    const fault = faultOf(request.url ?? '');
    if (!fault && !calm && Math.random() < SLOW_RATE) await delay(between([50, 800]));
    const receipt = receiptOf(endpoint, request.headers as Record<string, string>, body, fault === undefined);
    receipts.push(receipt);
    if (fault === undefined) response.writeHead(200).end('thank you');
    else {
      faults[fault] = (faults[fault] ?? 0) + 1;
      FAULTS[fault]?.(response);
    }
  }

  const server = createServer((request, response) => {
    take(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    urlOf: (nth) => `http://127.0.0.1:${port}/${nth}`,
    serve: (nth, endpoint) => void endpoints.set(`/${nth}`, endpoint),
    receipts,
    faults,
    calm() {
      calm = true;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** What a receiver that keeps to the specification knows of a request. */
export function receiptOf(
  endpoint: Endpoint,
  headers: Record<string, string>,
  body: string,
  accepted: boolean,
): Receipt {
  const { id, type, subject = null, source } = JSON.parse(body) as Record<'id' | 'type' | 'subject' | 'source', string>;
  return {
    ...{ endpoint, id, type, subject, source, accepted },
    // What a receiver tells repetitions by is the header.
    verified: isSigned(endpoint, headers, body) && headers['webhook-id'] === id,
    digest: createHash('sha256').update(body).digest('base64'),
  };
}
