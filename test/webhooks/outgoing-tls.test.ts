import type { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { createSender, type SenderOptions } from '../../functions/worker/webhooks/outgoing/send.ts';
import { selfSigned } from '../support/certificate.ts';
import { httpReceiver, tcpReceiver } from '../support/receiver.ts';

const certificate = selfSigned(['hooks.example', '127.0.0.1']);

async function outcomeOf(url: string, options: SenderOptions = {}) {
  const sender = createSender({
    allowedNetworks: ['127.0.0.0/8'],
    lookup: async () => ['127.0.0.1'],
    timeouts: { connect: 1000, tls: 500, headers: 1000 },
    ...options,
  });
  onTestFinished(() => sender.close());
  return await sender.send({ url, headers: {}, body: '{}' });
}

describe('over TLS', () => {
  test('a receiver with a good certificate for its name gets what is sent, and the name', async () => {
    let servername: unknown;
    const receiver = await httpReceiver(
      (request, response) => {
        servername = (request.socket as { servername?: unknown }).servername;
        response.end('safe');
      },
      { certificate },
    );
    const trusting = { ca: [certificate.cert] };
    const named = await outcomeOf(`https://hooks.example:${receiver.port}/`, trusting);
    expect(named).toMatchObject({ kind: 'response', body: 'safe' });
    expect(servername).toBe('hooks.example');
    const dotted = await outcomeOf(`https://hooks.example.:${receiver.port}/`, trusting);
    expect(dotted).toMatchObject({ kind: 'response', body: 'safe' });
    const literal = await outcomeOf(receiver.url, trusting);
    expect(literal).toMatchObject({ kind: 'response', body: 'safe' });
    expect(servername).toBe(false);
  });

  test('a session is resumed on the next connection', async () => {
    const reused: boolean[] = [];
    const receiver = await httpReceiver(
      (request, response) => {
        reused.push((request.socket as ReturnType<typeof connectTls>).isSessionReused());
        response.setHeader('connection', 'close').end();
      },
      { certificate },
    );
    const sender = createSender({ allowedNetworks: ['127.0.0.0/8'], ca: [certificate.cert] });
    onTestFinished(() => sender.close());
    for (let sent = 0; sent < 3; sent++) await sender.send({ url: receiver.url, headers: {}, body: '{}' });
    expect(reused).toEqual([false, true, true]);
  });

  test.each([
    ['signed by nobody we know', 'hooks.example', selfSigned(['hooks.example']), false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['for another name', 'other.example', certificate, true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [
      'for a name, reached by address',
      '127.0.0.1',
      selfSigned(['hooks.example']),
      true,
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
    ['expired', 'hooks.example', selfSigned(['hooks.example'], new Date(Date.now() - 1000)), true, 'CERT_HAS_EXPIRED'],
  ])('a certificate %s is refused before anything is sent', async (_what, host, bad, trusted, code) => {
    let requests = 0;
    const receiver = await httpReceiver((_request, response) => void response.end(String(++requests)), {
      certificate: bad,
    });
    const options = trusted ? { ca: [bad.cert] } : {};
    const outcome = await outcomeOf(`https://${host}:${receiver.port}/`, options);
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'tls_failed', detail: expect.stringContaining(code) });
    expect(requests).toBe(0);
  });

  test('a receiver that speaks no TLS, or old TLS alone, is told as that', async () => {
    const plain = await httpReceiver((_request, response) => response.end());
    const outcome = await outcomeOf(`https://127.0.0.1:${plain.port}/`);
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'tls_failed' });
    const closing = await tcpReceiver((socket) => socket.once('data', () => socket.end()));
    expect(await outcomeOf(`https://127.0.0.1:${closing.port}/`)).toMatchObject({
      kind: 'failed',
      reason: 'tls_failed',
    });
  });

  test('a receiver that is silent is given up in time', async () => {
    let closed = false;
    const silent = await tcpReceiver((socket) => {
      socket.on('close', () => {
        closed = true;
      });
      socket.resume();
    });
    const outcome = await outcomeOf(`https://127.0.0.1:${silent.port}/`);
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'connect_timeout', detail: 'no TLS handshake in 500 ms' });
    expect(await until(() => closed, { timeoutMs: 2000 })).toBe(true);
  });
});
