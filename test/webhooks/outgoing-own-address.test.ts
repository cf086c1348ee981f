import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createSender, type SenderOptions } from '../../functions/worker/webhooks/outgoing/send.ts';

// A worker with public addresses. Which these are is not for its tenants to find out by naming one after the other.

const OWN = ['203.0.114.1', '2606:4700::1'];

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  networkInterfaces: () => ({ eth0: OWN.map((address) => ({ address })) }),
}));

async function outcomeOf(url: string, options: SenderOptions = {}) {
  const sender = createSender({ allowHttp: true, ...options });
  try {
    const { latencyMs, ...outcome } = await sender.send({ url, headers: {}, body: '{}' });
    return outcome;
  } finally {
    await sender.close();
  }
}

/** A port of this machine that nothing listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A proxy that reaches nothing. */
async function poorProxy(): Promise<{ url: string; asked: (string | undefined)[] }> {
  const asked: (string | undefined)[] = [];
  const server = createServer();
  server.on('connect', (request, socket) => {
    asked.push(request.url);
    socket.end('HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test('a public address of the worker is told as one where nothing listens; the operator is told which it is', async () => {
  const nothing = await outcomeOf(`http://127.0.0.1:${await freePort()}/`, { allowedNetworks: ['127.0.0.0/8'] });
  expect(nothing).toEqual({ kind: 'failed', reason: 'connect_failed', detail: 'ECONNREFUSED' });
  for (const [url, address] of [
    ['http://203.0.114.1:8080/', '203.0.114.1'],
    ['https://203.0.114.1/', '203.0.114.1'],
    ['http://3405804033/', '203.0.114.1'],
    ['http://[2606:4700::1]/', '2606:4700::1'],
  ] as const)
    expect(await outcomeOf(url), url).toEqual({ ...nothing, withheld: `${address} is an address of this machine` });
});

test('behind a proxy, too, which is not asked for it', async () => {
  const { url, asked } = await poorProxy();
  for (const resolve of ['here', 'proxy'] as const) {
    const proxy = { url, resolve };
    const nothing = { kind: 'failed', reason: 'connect_failed', detail: 'the proxy opened no tunnel' };
    expect(await outcomeOf('http://1.1.1.1/', { proxy })).toEqual({ ...nothing, withheld: 'the proxy answered 502' });
    const own = { ...nothing, withheld: '203.0.114.1 is an address of this machine' };
    expect(await outcomeOf('http://203.0.114.1/', { proxy })).toEqual(own);
  }
  expect(asked).toEqual(['1.1.1.1:80', '1.1.1.1:80']);
});

test('its other addresses are refused as those of anybody are', async () => {
  expect(await outcomeOf('http://127.0.0.1/')).toEqual({
    kind: 'failed',
    reason: 'address_refused',
    detail: '127.0.0.1 is loopback (RFC 1122)',
  });
});
