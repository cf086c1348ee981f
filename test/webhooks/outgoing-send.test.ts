import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import pino from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createChild } from '../../functions/stack/child.ts';
import { until } from '../../functions/stack/until.ts';
import {
  createSender,
  type Outgoing,
  type Sender,
  type SenderOptions,
} from '../../functions/worker/webhooks/outgoing/send.ts';
import { httpReceiver, tcpReceiver } from '../support/receiver.ts';

const TIMEOUTS = { dns: 300, connect: 300, tls: 300, headers: 300, body: 300, total: 2000 };

function testSender(options: SenderOptions = {}): Sender {
  const sender = createSender({ allowHttp: true, allowedNetworks: ['127.0.0.0/8'], timeouts: TIMEOUTS, ...options });
  onTestFinished(() => sender.close());
  return sender;
}

const to = (url: string, more: Partial<Outgoing> = {}): Outgoing => ({
  url,
  headers: { 'content-type': 'application/json' },
  body: '{"a":1}',
  ...more,
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}

/** A receiver that says these bytes, once it has been sent something, and then does what follows. */
function saying(text: string | Buffer, afterwards: (socket: Socket) => void = () => {}) {
  return tcpReceiver((socket) => {
    socket.once('data', () => {
      socket.write(text);
      afterwards(socket);
    });
  });
}

describe('a request', () => {
  test('arrives as it was given, and its answer is told', async () => {
    let seen: unknown;
    const receiver = await httpReceiver(async (request, response) => {
      const { method, url, headers } = request;
      seen = { method, url, headers, body: await bodyOf(request) };
      response.writeHead(202, { 'Retry-After': '7' }).end('Þanks');
    });
    const body = JSON.stringify({ name: 'Zoë' });
    const headers = { 'content-type': 'application/json', 'webhook-id': 'evt_1', 'x-mine': 'yes' };
    const outcome = await testSender().send({ url: `${receiver.url}?a=b%20c#d`, headers, body });
    expect(outcome).toEqual({
      kind: 'response',
      status: 202,
      retryAfterSeconds: 7,
      body: 'Þanks',
      latencyMs: expect.any(Number),
    });
    expect(seen).toEqual({
      method: 'POST',
      url: '/hook?a=b%20c',
      headers: {
        host: `127.0.0.1:${receiver.port}`,
        connection: 'keep-alive',
        'user-agent': 'Rowhouse-Webhooks',
        'content-length': String(Buffer.byteLength(body)),
        ...headers,
      },
      body,
    });
  });

  test.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'upgrade',
    'expect',
    'proxy-authorization',
    'te',
  ])('whose headers say what frames it, %s, is not sent', async (name) => {
    const receiver = await httpReceiver((_request, response) => response.end());
    const outcome = await testSender().send(to(receiver.url, { headers: { [name]: '1' } }));
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'request_invalid' });
    expect(receiver.connections()).toBe(0);
  });

  test.each([
    ['x-split', 'a\r\nx-more: b'],
    ['x-nul', 'a\0b'],
    ['x bad', 'a'],
    ['x-wide', 'ž'],
  ])('with characters that HTTP has not, in %j, is not sent', async (name, value) => {
    const receiver = await httpReceiver((_request, response) => response.end());
    const outcome = await testSender().send(to(receiver.url, { headers: { [name]: value } }));
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'request_invalid' });
    expect(receiver.connections()).toBe(0);
  });

  test('is not sent on to where a redirect points', async () => {
    const inside = await httpReceiver((_request, response) => response.end());
    for (const status of [301, 302, 303, 307, 308]) {
      const receiver = await httpReceiver((_request, response) =>
        response.writeHead(status, { location: inside.url }).end(),
      );
      expect(await testSender().send(to(receiver.url))).toMatchObject({ kind: 'response', status });
    }
    expect(inside.connections()).toBe(0);
  });
});

describe('a name', () => {
  test('is resolved once for a connection, and the connection goes to what was checked, whatever the name says later', async () => {
    const outside = await httpReceiver((_request, response) => response.end('outside'), { host: '127.0.0.2' });
    const inside = await httpReceiver((_request, response) => response.end('inside'), { port: outside.port });
    const answers = [['127.0.0.2'], ['127.0.0.1'], ['127.0.0.2']];
    let asked = 0;
    const sender = testSender({ allowedNetworks: ['127.0.0.2'], lookup: async () => answers[asked++] ?? [] });
    const request = to(`http://hooks.example:${outside.port}/`);

    expect(await sender.send(request)).toMatchObject({ kind: 'response', body: 'outside' });
    expect(await sender.send(request)).toMatchObject({ kind: 'response', body: 'outside' });
    expect(asked).toBe(1);
    outside.disconnect();
    const refused = { kind: 'failed', reason: 'dns_failed', withheld: '127.0.0.1 is loopback (RFC 1122)' };
    // The connection's end may reach us a moment later.
    expect(await until(async () => (await sender.send(request)).kind === 'failed', { timeoutMs: 2000 })).toBe(true);
    expect(asked).toBe(2);
    expect(await sender.send(request)).toMatchObject({ kind: 'response', body: 'outside' });
    answers.push(['127.0.0.1']);
    outside.disconnect();
    expect(await until(async () => (await sender.send(request)).kind === 'failed', { timeoutMs: 2000 })).toBe(true);
    answers.push(['127.0.0.1', '127.0.0.2']);
    expect(await sender.send(request)).toMatchObject(refused);
    expect(inside.connections()).toBe(0);
  });

  test('with several addresses is reached at one that listens', async () => {
    const receiver = await httpReceiver((_request, response) => response.end('here'), { host: '127.0.0.3' });
    const sender = testSender({ lookup: async () => ['127.0.0.1', '127.0.0.2', '127.0.0.3'] });
    const outcome = await sender.send(to(`http://hooks.example:${receiver.port}/`));
    expect(outcome).toMatchObject({ kind: 'response', body: 'here' });
  });

  test('that does not resolve, or has no address, is said to', async () => {
    const missing = testSender({
      lookup: async () => {
        throw Object.assign(new Error('queryA ENOTFOUND hooks.example'), { code: 'ENOTFOUND' });
      },
    });
    const detail = 'hooks.example has no address that deliveries go to';
    expect(await missing.send(to('http://hooks.example/'))).toMatchObject({ reason: 'dns_failed', detail });
    const empty = testSender({ lookup: async () => [] });
    expect(await empty.send(to('http://hooks.example/'))).toMatchObject({ reason: 'dns_failed' });
  });

  test('whose servers are silent is given up in time, with the question', async () => {
    let given: AbortSignal | undefined;
    const sender = testSender({
      lookup: (_hostname, signal) => {
        given = signal;
        return new Promise(() => {});
      },
    });
    const outcome = await sender.send(to('http://hooks.example/'));
    expect(outcome).toMatchObject({ reason: 'dns_failed', withheld: 'no answer in 300 ms' });
    expect(outcome.latencyMs).toBeLessThan(1500);
    expect(given?.aborted).toBe(true);
  });
});

describe('a receiver that', () => {
  test('does not listen is told from one that does not answer', async () => {
    const receiver = await httpReceiver(() => {});
    const port = receiver.port;
    expect(await testSender().send(to(receiver.url))).toMatchObject({
      reason: 'response_timeout',
      detail: 'no answer after 300 ms',
    });
    expect(receiver.connections()).toBe(1);
    const free = await tcpReceiver((socket) => socket.destroy());
    expect(free.port).not.toBe(port);
    const outcome = await testSender().send(to('http://127.0.0.1:9/', {}));
    expect(outcome).toMatchObject({ reason: 'address_refused' });
    expect(await testSender({ refusedPorts: [] }).send(to('http://127.0.0.1:9/'))).toMatchObject({
      reason: 'connect_failed',
      detail: 'ECONNREFUSED',
    });
  });

  test('accepts no connection is given up in time', async () => {
    // A stopped process accepts nothing; what the system takes for it is used up first.
    const script = `require('net').createServer().listen({port:0,host:'127.0.0.1',backlog:1},function(){console.log('port '+this.address().port)})`;
    const lines: string[] = [];
    const stopped = createChild(
      {
        name: 'stopped',
        command: [process.execPath, '-e', script],
        env: {},
        isReady: (printed) => printed.some((line) => line.startsWith('port ')),
        stopSequence: [['SIGKILL', 2000]],
      },
      { log: pino({ level: 'silent' }), restart: false, onLine: (line) => lines.push(line) },
    );
    await stopped.start();
    onTestFinished(() => stopped.stop());
    const port = Number(/port (\d+)/.exec(lines.join())?.[1]);
    process.kill(stopped.pid() as number, 'SIGSTOP');
    expect(await testSender().send(to(`http://127.0.0.1:${port}/`))).toMatchObject({ reason: 'response_timeout' });
    const waiting = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    onTestFinished(() => waiting.forEach((socket) => void socket.destroy()));
    await once(waiting[0] as Socket, 'connect');
    expect(await testSender().send(to(`http://127.0.0.1:${port}/`))).toMatchObject({
      reason: 'connect_timeout',
      detail: 'no connection in 300 ms',
    });
  });

  test('drips its head, or its body, is given up in time', async () => {
    const drip = (socket: Socket) => {
      const timer = setInterval(() => socket.write('a'), 20);
      socket.on('close', () => clearInterval(timer));
    };
    const head = await saying('HTTP/1.1 200 OK\r\nx-slow: ', drip);
    const body = await saying('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n', drip);
    const interim = await saying('', (socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const [first, second, third] = await Promise.all(
      [head, body, interim].map(({ url }) => testSender().send(to(url))),
    );
    expect(first).toMatchObject({ reason: 'response_timeout', detail: 'no answer after 300 ms' });
    expect(second).toMatchObject({ reason: 'response_timeout', detail: 'an unfinished answer after 300 ms' });
    expect(third).toMatchObject({ reason: 'response_timeout', detail: 'no answer after 300 ms' });
    for (const outcome of [first, second, third]) expect(outcome?.latencyMs).toBeLessThan(1500);
  });

  test('is slow has as long as the request says, be it more than usual', async () => {
    const receiver = await httpReceiver((_request, response) => void setTimeout(() => response.end('late'), 700));
    expect(await testSender().send(to(receiver.url))).toMatchObject({ reason: 'response_timeout' });
    expect(await testSender().send(to(receiver.url, { timeoutMs: 5000 }))).toMatchObject({
      kind: 'response',
      body: 'late',
    });
  });

  test('is slow has as long as the request says, at the most', async () => {
    const receiver = await httpReceiver(() => {});
    const patient = testSender({ timeouts: { ...TIMEOUTS, headers: 10_000, total: 20_000 } });
    const outcome = await patient.send(to(receiver.url, { timeoutMs: 50 }));
    expect(outcome).toMatchObject({ reason: 'response_timeout', detail: 'no answer after 50 ms' });
    expect(outcome.latencyMs).toBeLessThan(5000);
  });

  test('closes or resets the connection is told as that', async () => {
    const closing = await tcpReceiver((socket) => socket.once('data', () => socket.end()));
    const resetting = await tcpReceiver((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const cut = await saying('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc', (socket) => socket.resetAndDestroy());
    for (const { url } of [closing, resetting, cut]) {
      expect(await testSender().send(to(url))).toMatchObject({ kind: 'failed', reason: 'reset' });
    }
  });

  test.each([
    ['hello, this is no HTTP\r\n\r\n', 'no HTTP'],
    ['\0\x01\x02\x03\xff\xfe', 'bytes'],
    ['SSH-2.0-OpenSSH_9.2p1\r\n', 'SSH'],
    ['HTTP/9.9 200 OK\r\n\r\n', 'a version that is none'],
    ['HTTP/1.1 xyz OK\r\n\r\n', 'a status that is none'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello', 'two lengths'],
    ['HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n', 'a length that is none'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n', 'a chunk size that is none'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n', 'a chunk that does not end'],
    ['HTTP/1.1 200 OK\r\nbad header\r\n\r\n', 'a header without colon'],
    ['HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', 'another protocol'],
    [`HTTP/1.1 200 OK\r\n${'x-many: abcdefghijklmnop\r\n'.repeat(1000)}\r\n`, 'a head of 26 KB'],
    [`HTTP/1.1 200 OK\r\nx-long: ${'a'.repeat(1_000_000)}\r\n\r\n`, 'a header of a megabyte'],
  ])('answers %j is told as unreadable: %s', async (text) => {
    const receiver = await saying(Buffer.from(text, 'latin1'));
    const outcome = await testSender().send(to(receiver.url));
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'response_invalid' });
  });

  test.each([
    ['HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\nabc', 'a body shorter than announced'],
    ['HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel', 'a chunk cut off'],
    ['HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n', 'chunks without an end'],
    ['HTTP/1.1 200 OK\r\ncontent-le', 'half a head'],
  ])('ends in the middle, %j, has not answered: %s', async (text) => {
    const receiver = await saying(text, (socket) => socket.end());
    expect(await testSender().send(to(receiver.url))).toMatchObject({ kind: 'failed' });
  });

  test('answers without length, ended by closing, has answered', async () => {
    const receiver = await saying('HTTP/1.1 200 OK\r\n\r\nall of it', (socket) => socket.end());
    expect(await testSender().send(to(receiver.url))).toMatchObject({
      kind: 'response',
      status: 200,
      body: 'all of it',
    });
  });

  test('has much to say is heard for a KiB, and cut off after 64', async () => {
    let written = 0;
    let closed = false;
    const receiver = await httpReceiver((_request, response) => {
      response.on('close', () => {
        closed = true;
      });
      const more = () => {
        while (!closed && response.write('é'.repeat(8192))) written += 16_384;
      };
      response.on('drain', more);
      response.write('x'); // so that the KiB ends inside a character
      more();
    });
    const outcome = await testSender().send(to(receiver.url));
    expect(outcome).toMatchObject({ kind: 'response', status: 200 });
    expect(outcome.kind === 'response' && outcome.body).toBe(`x${'é'.repeat(511)}`);
    expect(await until(() => closed, { timeoutMs: 2000 })).toBe(true);
    expect(written).toBeLessThan(50_000_000);
  });

  test('answers with what PostgreSQL has no characters for is told without', async () => {
    const receiver = await saying(Buffer.from('HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\na\0\xffb', 'latin1'));
    expect(await testSender().send(to(receiver.url))).toMatchObject({ status: 500, body: 'a\u{fffd}\u{fffd}b' });
  });
});

describe('connections', () => {
  test('are kept, and used again', async () => {
    const receiver = await httpReceiver((_request, response) => response.end());
    const sender = testSender();
    for (let sent = 0; sent < 20; sent++) expect(await sender.send(to(receiver.url))).toMatchObject({ status: 200 });
    expect(receiver.connections()).toBe(1);
  });

  test('that the receiver closes as something is sent cost no attempt', async () => {
    let requests = 0;
    const receiver = await httpReceiver((request, response) => {
      // Every second request on a connection finds it closed.
      if (++requests % 2 === 0) request.socket.resetAndDestroy();
      else response.end();
    });
    const sender = testSender();
    for (let sent = 0; sent < 10; sent++) expect(await sender.send(to(receiver.url))).toMatchObject({ status: 200 });
  });

  test('are bounded for each origin', async () => {
    let open = 0;
    let most = 0;
    const receiver = await httpReceiver(async (_request, response) => {
      most = Math.max(most, ++open);
      await turn();
      open--;
      response.end();
    });
    const sender = testSender({ limits: { connectionsPerOrigin: 4 } });
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => sender.send(to(receiver.url))));
    expect(outcomes.every((outcome) => outcome.kind === 'response')).toBe(true);
    expect(receiver.connections()).toBeLessThanOrEqual(4);
    expect(most).toBeLessThanOrEqual(4);
  });

  test('to origins used least recently give way, and nothing in flight is lost', async () => {
    const receiver = await httpReceiver((_request, response) => response.end());
    const sender = testSender({
      lookup: async () => ['127.0.0.1'],
      limits: { origins: 20, sockets: 10 },
      timeouts: {}, // fifty at once are not all answered in 300 ms everywhere
    });
    const urls = Array.from({ length: 200 }, (_, at) => `http://h${at}.example:${receiver.port}/`);
    for (let from = 0; from < urls.length; from += 50) {
      const outcomes = await Promise.all(urls.slice(from, from + 50).map((url) => sender.send(to(url))));
      expect(outcomes.filter((outcome) => outcome.kind !== 'response')).toEqual([]);
    }
    expect(sender.size().origins).toBeLessThanOrEqual(20);
    expect(await until(() => sender.size().sockets <= 10, { timeoutMs: 2000 })).toBe(true);
  });

  test('are all closed at the end, after what is in flight', async () => {
    const receiver = await httpReceiver((_request, response) => void setTimeout(() => response.end('late'), 100));
    const sender = createSender({ allowHttp: true, allowedNetworks: ['127.0.0.0/8'] });
    const sending = sender.send(to(receiver.url));
    expect(await until(() => receiver.connections() === 1, { timeoutMs: 2000 })).toBe(true);
    await sender.close();
    expect(await sending).toMatchObject({ kind: 'response', body: 'late' });
    expect(sender.size()).toEqual({ origins: 0, sockets: 0 });
    await expect(sender.send(to(receiver.url))).rejects.toThrow('closed');
  });
});

describe('a signal', () => {
  test('ends what is in flight and what waits, with its reason', async () => {
    const receiver = await httpReceiver(() => {});
    const sender = testSender({ limits: { connectionsPerOrigin: 2 } });
    const stop = new AbortController();
    const sending = Array.from({ length: 5 }, () => sender.send(to(receiver.url), stop.signal));
    const settled = Promise.allSettled(sending);
    expect(await until(() => receiver.connections() === 2, { timeoutMs: 2000 })).toBe(true);
    const reason = new Error('shutting down');
    stop.abort(reason);
    for (const result of await settled) expect(result).toEqual({ status: 'rejected', reason });
    await expect(sender.send(to(receiver.url), stop.signal)).rejects.toBe(reason);
    expect(receiver.connections()).toBe(2);
  });

  test('leaves the connections usable for others', async () => {
    const receiver = await httpReceiver((request, response) => {
      if (request.url === '/hook') response.end('ok');
    });
    const sender = testSender({ limits: { connectionsPerOrigin: 1 } });
    const stop = new AbortController();
    const hanging = sender.send(to(receiver.url.replace('/hook', '/hang')), stop.signal);
    const waiting = sender.send(to(receiver.url));
    expect(await until(() => receiver.connections() === 1, { timeoutMs: 2000 })).toBe(true);
    stop.abort();
    await expect(hanging).rejects.toThrow();
    expect(await waiting).toMatchObject({ kind: 'response', body: 'ok' });
  });
});
