import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAddressPolicy } from '../../functions/worker/webhooks/outgoing/addresses.ts';
import { createLookup, createResolver, type Lookup } from '../../functions/worker/webhooks/outgoing/resolve.ts';

const A = 1;
const AAAA = 28;
const NO_SUCH_NAME = 3;

/** IPv4, or IPv6 in full, as the bytes of a record. */
function bytesOf(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  return Buffer.from(address.split(':').join(''), 'hex');
}

interface Answers {
  [A]?: string[];
  [AAAA]?: string[];
}

/** A name server (RFC 1035) for one question at a time; undefined: the name does not exist; null: no answer at all. */
async function nameServer(answers: (name: string) => Answers | undefined | null) {
  const socket = createSocket('udp4');
  let questions = 0;
  socket.on('message', (query: Buffer, from: RemoteInfo) => {
    questions++;
    const labels: string[] = [];
    let at = 12;
    for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const question = query.subarray(12, at + 5);
    const known = answers(labels.join('.').toLowerCase());
    if (known === null) return;
    const type = query.readUInt16BE(at + 1) as typeof A | typeof AAAA;
    const records = (known?.[type] ?? []).map(bytesOf).map((data) => {
      const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]);
      return Buffer.concat([head, data]);
    });
    const header = Buffer.from([
      ...query.subarray(0, 2),
      0x81,
      0x80 | (known ? 0 : NO_SUCH_NAME),
      0,
      1,
      0,
      records.length,
      0,
      0,
      0,
      0,
    ]);
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return { lookup: createLookup([`127.0.0.1:${socket.address().port}`]), questions: () => questions };
}

function resolver(lookup: Lookup, timeoutMs = 2000) {
  return createResolver({ policy: createAddressPolicy({}), lookup, timeoutMs });
}

describe('the name servers', () => {
  test('are asked for addresses of both families, and what either has is taken', async () => {
    const both = '2606:4700:0000:0000:0000:0000:0000:1111';
    const { lookup } = await nameServer(
      (name) =>
        ({
          'both.example': { [A]: ['1.1.1.1', '1.0.0.1'], [AAAA]: [both] },
          'four.example': { [A]: ['1.1.1.1'] },
          'six.example': { [AAAA]: [both] },
        })[name],
    );
    const resolve = resolver(lookup);
    expect(await resolve('both.example')).toEqual(['1.1.1.1', '1.0.0.1', '2606:4700::1111']);
    expect(await resolve('four.example')).toEqual(['1.1.1.1']);
    expect(await resolve('six.example.')).toEqual(['2606:4700::1111']);
  });

  test('may know a private address among others, in either family: the name is refused', async () => {
    const { lookup } = await nameServer((name) =>
      name === 'four.example'
        ? { [A]: ['1.1.1.1', '10.0.0.1'] }
        : { [A]: ['1.1.1.1'], [AAAA]: ['0000:0000:0000:0000:0000:ffff:0a00:0001'] },
    );
    const resolve = resolver(lookup);
    for (const [name, withheld] of [
      ['four.example', '10.0.0.1 is private (RFC 1918)'],
      ['six.example', '::ffff:10.0.0.1 is IPv4-mapped (RFC 4291)'],
    ] as const) {
      await expect(resolve(name)).rejects.toMatchObject({ reason: 'dns_failed', withheld });
    }
  });

  test('may not know the name, or no address of it', async () => {
    const { lookup } = await nameServer((name) => (name === 'empty.example' ? {} : undefined));
    const resolve = resolver(lookup);
    await expect(resolve('none.example')).rejects.toMatchObject({
      reason: 'dns_failed',
      message: 'none.example has no address that deliveries go to',
      withheld: 'queryA ENOTFOUND none.example',
    });
    await expect(resolve('empty.example')).rejects.toMatchObject({
      reason: 'dns_failed',
      message: 'empty.example has no address that deliveries go to',
      withheld: 'queryA ENODATA empty.example',
    });
  });

  test('may be silent: the question is given up in time', async () => {
    const { lookup } = await nameServer(() => null);
    const begun = performance.now();
    await expect(resolver(lookup, 300)('slow.example')).rejects.toMatchObject({
      reason: 'dns_failed',
      message: 'slow.example has no address that deliveries go to',
      withheld: 'no answer in 300 ms',
    });
    expect(performance.now() - begun).toBeLessThan(1500);
  });

  test('are asked once for those who ask at the same time, and again afterwards', async () => {
    const { lookup, questions } = await nameServer(() => ({ [A]: ['1.1.1.1'] }));
    const resolve = resolver(lookup);
    await Promise.all(Array.from({ length: 20 }, () => resolve('hooks.example')));
    expect(questions()).toBe(2);
    await resolve('hooks.example');
    expect(questions()).toBe(4);
  });

  test('are not asked for this machine, nor for what is an address', async () => {
    const { lookup, questions } = await nameServer(() => ({ [A]: ['1.1.1.1'] }));
    const resolve = resolver(lookup);
    const why = '127.0.0.1 is loopback (RFC 1122)';
    for (const name of ['localhost', 'hooks.localhost.']) {
      await expect(resolve(name)).rejects.toMatchObject({ reason: 'dns_failed', withheld: why });
    }
    await expect(resolve('127.0.0.1')).rejects.toMatchObject({ reason: 'address_refused', message: why });
    expect(await resolve('9.9.9.9')).toEqual(['9.9.9.9']);
    expect(questions()).toBe(0);
  });
});
