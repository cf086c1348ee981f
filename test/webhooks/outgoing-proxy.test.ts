import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readConfig, workerSchema } from '../../functions/config.ts';
import { createSender, type SenderOptions } from '../../functions/worker/webhooks/outgoing/send.ts';
import { openSender } from '../../functions/worker/webhooks/outgoing/settings.ts';
import { selfSigned } from '../support/certificate.ts';
import { httpReceiver } from '../support/receiver.ts';

interface Asked {
  authority: string;
  authorization: string | undefined;
}

/** A proxy that connects to one port here, whatever it is asked for, or answers with a status. */
async function proxy(port: number, status = 200): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const open = new Set<Duplex>();
  const server = createServer();
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    open.add(socket);
    asked.push({ authority: request.url ?? '', authorization: request.headers['proxy-authorization'] });
    if (status === 0) return;
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return { url: `http://me:s%40cret@127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function outcomeOf(url: string, options: SenderOptions) {
  const sender = createSender({ allowHttp: true, timeouts: { connect: 500 }, ...options });
  onTestFinished(() => sender.close());
  return await sender.send({ url, headers: {}, body: '{}' });
}

const PUBLIC = async () => ['93.184.215.14'];
const authorization = `Basic ${Buffer.from('me:s@cret').toString('base64')}`;

describe('through a proxy', () => {
  test('a receiver gets what is sent, and the proxy the address that was checked', async () => {
    const receiver = await httpReceiver((request, response) => response.end(request.headers.host));
    const { url, asked } = await proxy(receiver.port);
    const outcome = await outcomeOf('http://hooks.example/', { proxy: { url }, lookup: PUBLIC });
    expect(outcome).toMatchObject({ kind: 'response', body: 'hooks.example' });
    expect(asked).toEqual([{ authority: '93.184.215.14:80', authorization }]);
  });

  test('TLS is with the receiver, by its name', async () => {
    const certificate = selfSigned(['hooks.example']);
    const receiver = await httpReceiver((_request, response) => response.end('safe'), { certificate });
    const { url, asked } = await proxy(receiver.port);
    const options = { proxy: { url }, lookup: PUBLIC };
    const outcome = await outcomeOf('https://hooks.example/', { ...options, ca: [certificate.cert] });
    expect(outcome).toMatchObject({ kind: 'response', body: 'safe' });
    expect(asked[0]?.authority).toBe('93.184.215.14:443');
    expect(await outcomeOf('https://hooks.example/', options)).toMatchObject({ reason: 'tls_failed' });
  });

  test('nothing goes inside: not by address, not by name', async () => {
    const { url, asked } = await proxy(1);
    const inside = { proxy: { url }, lookup: async () => ['10.0.0.1'] };
    for (const target of ['http://127.0.0.1/', 'http://[::1]/', 'http://localhost/']) {
      expect(await outcomeOf(target, inside), target).toMatchObject({ kind: 'failed', reason: 'address_refused' });
    }
    expect(await outcomeOf('http://hooks.example/', inside)).toMatchObject({
      reason: 'dns_failed',
      withheld: '10.0.0.1 is private (RFC 1918)',
    });
    expect(asked).toEqual([]);
  });

  test('that resolves names itself, nothing is resolved here, and literal addresses are refused as ever', async () => {
    const receiver = await httpReceiver((_request, response) => response.end('ok'));
    const { url, asked } = await proxy(receiver.port);
    const lookup = () => Promise.reject(new Error('asked'));
    const options: SenderOptions = { proxy: { url, resolve: 'proxy' }, lookup };
    expect(await outcomeOf('http://hooks.example:8080/', options)).toMatchObject({ kind: 'response', body: 'ok' });
    expect(asked.map(({ authority }) => authority)).toEqual(['hooks.example:8080']);
    for (const target of ['http://169.254.169.254/', 'http://localhost/', 'http://[fd00::1]/']) {
      expect(await outcomeOf(target, options), target).toMatchObject({ reason: 'address_refused' });
    }
  });

  test.each([403, 407, 502])('that answers %i has refused, and only the operator is told with what', async (status) => {
    const { url } = await proxy(1, status);
    for (const resolve of ['here', 'proxy'] as const) {
      const outcome = await outcomeOf('http://hooks.example/', { proxy: { url, resolve }, lookup: PUBLIC });
      expect(outcome).toEqual({
        kind: 'failed',
        reason: 'connect_failed',
        detail: 'the proxy opened no tunnel',
        withheld: `the proxy answered ${status}`,
        latencyMs: expect.any(Number),
      });
    }
  });

  test('that is silent, or away, is told without naming it', async () => {
    const { url } = await proxy(1, 0);
    expect(await outcomeOf('http://hooks.example/', { proxy: { url }, lookup: PUBLIC })).toMatchObject({
      reason: 'connect_timeout',
      detail: 'no tunnel in 500 ms',
    });
    const away = { proxy: { url: 'http://127.0.0.1:1' }, lookup: PUBLIC };
    expect(await outcomeOf('http://hooks.example/', away)).toMatchObject({
      reason: 'connect_failed',
      detail: 'the proxy cannot be reached',
    });
  });
});

describe('the environment', () => {
  const config = (env: Record<string, string>) =>
    readConfig(workerSchema, { WORKER_DATABASE_URL: 'postgres://nobody@localhost/none', ...env });

  test('says what is allowed', async () => {
    const receiver = await httpReceiver((_request, response) => response.end());
    const request = { url: receiver.url, headers: {}, body: '{}' };
    const closed = openSender(config({ WEBHOOK_ALLOWED_NETWORKS: '', WEBHOOK_PROXY_URL: '' }));
    expect(await closed.send(request)).toMatchObject({ reason: 'address_refused', detail: 'http is not allowed' });
    const env = { WEBHOOK_ALLOW_HTTP: 'true', WEBHOOK_ALLOWED_NETWORKS: '10.0.0.0/8, 127.0.0.1' };
    const open = openSender(config(env));
    expect(await open.send(request)).toMatchObject({ kind: 'response' });
    const narrow = openSender(config({ ...env, WEBHOOK_REFUSED_PORTS: `22,${receiver.port}` }));
    expect(await narrow.send(request)).toMatchObject({ detail: `port ${receiver.port} is not allowed` });
    const { url, asked } = await proxy(receiver.port);
    const through = openSender(
      config({ WEBHOOK_ALLOW_HTTP: '1', WEBHOOK_PROXY_URL: url, WEBHOOK_PROXY_RESOLVES: 'yes' }),
    );
    expect(await through.send({ ...request, url: 'http://hooks.example/' })).toMatchObject({ kind: 'response' });
    expect(asked[0]?.authority).toBe('hooks.example:80');
    await Promise.all([closed, open, narrow, through].map((sender) => sender.close()));
  });

  test.each([
    [{ WEBHOOK_ALLOWED_NETWORKS: '10.0.0.0/40' }, /WEBHOOK_ALLOWED_NETWORKS: 10\.0\.0\.0\/40/],
    [{ WEBHOOK_REFUSED_PORTS: '22,ssh' }, /WEBHOOK_REFUSED_PORTS/],
    [{ WEBHOOK_PROXY_URL: 'socks5://proxy:1080' }, /WEBHOOK_PROXY_URL/],
    [{ WEBHOOK_TIMEOUT_MS: '5' }, /WEBHOOK_TIMEOUT_MS/],
  ])('with a mistake, %o, is refused by name', (env, detail) => {
    const mistaken = expect.objectContaining({ code: 'config_invalid', detail: expect.stringMatching(detail) });
    expect(() => openSender(config(env as Record<string, string>))).toThrow(mistaken);
  });
});
