import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '../../functions/stack/until.ts';

/** A receiver of webhooks on this machine, which notes what it gets and answers as it is told. */

export interface Received {
  path: string;
  headers: Record<string, string>;
  raw: string;
  event: { id: string; type: string; subject?: string; source: string; data: Record<string, unknown> };
  at: number;
}

/** An answer: a status, with headers; `hang`: none at all. */
export type Answer = number | { status: number; headers?: Record<string, string>; body?: string } | 'hang';

export type Receiver = Awaited<ReturnType<typeof startReceiver>>;

export async function startReceiver() {
  const received: Received[] = [];
  let answer: (request: Received) => Answer | Promise<Answer> = () => 200;

  async function reply(response: ServerResponse, request: Received): Promise<void> {
    const given = await answer(request);
    if (given === 'hang') return;
    const { status, headers = {}, body = 'thank you' } = typeof given === 'number' ? { status: given } : given;
    response.writeHead(status, headers).end(body);
  }

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks).toString('utf8');
    const headers = request.headers as Record<string, string>;
    const entry = { path: request.url ?? '', headers, raw, event: JSON.parse(raw), at: Date.now() };
    received.push(entry);
    await reply(response, entry);
  }

  const server = createServer((request, response) => {
    take(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: (path: string) => `http://127.0.0.1:${port}/${path}`,
    /** What came to a path, in order. */
    at: (path: string) => received.filter((entry) => entry.path === `/${path}`),
    /** From now on it answers so. */
    answers(how: (request: Received) => Answer | Promise<Answer>): void {
      answer = how;
    },
    /** Waits until so many have come to a path. */
    async got(path: string, count: number, timeoutMs = 15_000): Promise<Received[]> {
      const came = () => received.filter((entry) => entry.path === `/${path}`);
      if (!(await until(() => came().length >= count, { timeoutMs })))
        throw new Error(`${came().length} of ${count} came to /${path}: ${came().map(({ event }) => event.id)}`);
      return came();
    },
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
