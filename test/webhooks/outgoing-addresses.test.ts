import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createAddressPolicy } from '../../functions/worker/webhooks/outgoing/addresses.ts';
import { networks, refusedRange } from '../../functions/worker/webhooks/outgoing/ranges.ts';
import { createSender, type SenderOptions } from '../../functions/worker/webhooks/outgoing/send.ts';
import { httpReceiver } from '../support/receiver.ts';

const SENDING = { headers: { 'content-type': 'application/json' }, body: '{}', timeoutMs: 3000 };

async function outcomeOf(url: string, options: SenderOptions = {}) {
  const sender = createSender({ allowHttp: true, ...options });
  try {
    return await sender.send({ url, ...SENDING });
  } finally {
    await sender.close();
  }
}

/** Every one leads to the canary's port, where it names none itself: what gets through, arrives there. */
const LITERALS: readonly (readonly [host: string, why: RegExp])[] = [
  ['127.0.0.1', /loopback/],
  ['127.255.255.254', /loopback/],
  ['127.1', /loopback/],
  ['2130706433', /loopback/],
  ['0x7f000001', /loopback/],
  ['0x7f.0.0.1', /loopback/],
  ['017700000001', /loopback/],
  ['0177.0.0.01', /loopback/],
  ['127.0.0.1.', /loopback/],
  ['%31%32%37.0.0.1', /loopback/],
  ['１２７.０.０.１', /loopback/],
  ['①②⑦.⓪.⓪.①', /loopback/],
  ['127。0。0。1', /loopback/],
  ['localhost', /loopback/],
  ['LOCALHOST.', /loopback/],
  ['hooks.localhost', /loopback/],
  ['ⓛⓞⓒⓐⓛⓗⓞⓢⓣ', /loopback/],
  ['0', /unspecified/],
  ['0.0.0.0', /unspecified/],
  ['0.1.2.3', /this network/],
  ['10.0.0.1', /private/],
  ['172.16.0.1', /private/],
  ['172.31.255.255', /private/],
  ['192.168.1.1', /private/],
  ['3232235777', /private/],
  ['169.254.169.254', /metadata/],
  ['0xa9fea9fe', /metadata/],
  ['169.254.10.1', /link-local/],
  ['168.63.129.16', /metadata/],
  ['100.64.0.1', /carrier-grade/],
  ['100.100.100.200', /carrier-grade/],
  ['192.0.0.192', /protocol assignments/],
  ['192.0.2.1', /documentation/],
  ['198.51.100.7', /documentation/],
  ['203.0.113.9', /documentation/],
  ['198.18.0.1', /benchmarks/],
  ['198.19.255.255', /benchmarks/],
  ['192.88.99.1', /6to4/],
  ['224.0.0.1', /multicast/],
  ['239.255.255.250', /multicast/],
  ['240.0.0.1', /reserved/],
  ['255.255.255.255', /broadcast/],
  ['[::]', /unspecified/],
  ['[::1]', /loopback/],
  ['[0:0:0:0:0:0:0:1]', /loopback/],
  ['[::ffff:127.0.0.1]', /IPv4-mapped/],
  ['[::ffff:7f00:1]', /IPv4-mapped/],
  ['[::ffff:8.8.8.8]', /IPv4-mapped/],
  ['[::127.0.0.1]', /IPv4-compatible/],
  ['[::ffff:0:127.0.0.1]', /IPv4-translated/],
  ['[64:ff9b::127.0.0.1]', /NAT64/],
  ['[64:ff9b::8.8.8.8]', /NAT64/],
  ['[64:ff9b:1::a00:1]', /NAT64/],
  ['[2002:7f00:1::]', /6to4/],
  ['[2001:0:4136:e378:8000:63bf:3fff:fdd2]', /Teredo/],
  ['[2001:2::1]', /protocol assignments/],
  ['[2001:db8::1]', /documentation/],
  ['[3fff::1]', /documentation/],
  ['[100::1]', /discard/],
  ['[fc00::1]', /unique local/],
  ['[fd00:ec2::254]', /metadata/],
  ['[fd20:ce::254]', /metadata/],
  ['[fe80::1]', /link-local/],
  ['[fec0::1]', /site-local/],
  ['[ff02::1]', /multicast/],
  ['[5f00::1]', /segment routing/],
  ['[4000::1]', /not global unicast/],
];

describe('a URL that leads inside', () => {
  test('would reach a server here, were it not refused', async () => {
    const canary = await httpReceiver((_request, response) => response.end());
    const open = { allowedNetworks: ['127.0.0.0/8'] };
    for (const host of ['127.0.0.1', '2130706433', '0177.0.0.01', 'localhost', 'hooks.localhost']) {
      const outcome = await outcomeOf(`http://${host}:${canary.port}/`, open);
      expect(outcome, host).toMatchObject({ kind: 'response', status: 200 });
    }
    expect(canary.connections()).toBe(5);
  });

  test(`is refused, and nothing is connected to: ${LITERALS.length} forms`, async () => {
    const canary = await httpReceiver((_request, response) => response.end(), { host: '0.0.0.0' });
    for (const [host, why] of LITERALS) {
      const outcome = await outcomeOf(`http://${host}:${canary.port}/`);
      expect(outcome, host).toMatchObject({
        kind: 'failed',
        reason: 'address_refused',
        detail: expect.stringMatching(why),
      });
    }
    expect(canary.connections()).toBe(0);
  });

  test(`is refused as what a name resolves to, and only the operator is told of the address: ${LITERALS.length} forms`, async () => {
    const canary = await httpReceiver((_request, response) => response.end(), { host: '0.0.0.0' });
    const policy = createAddressPolicy({ allowHttp: true });
    for (const [host, range] of LITERALS) {
      const { hostname } = new URL(`http://${host}`);
      const address = hostname.replace(/^\[|\]$/g, '');
      const why = policy.refusal(address);
      if (why === 'no plain address') continue; // a name: localhost
      const outcome = await outcomeOf(`http://hooks.example:${canary.port}/`, { lookup: async () => [address] });
      const detail = 'hooks.example has no address that deliveries go to';
      expect(outcome, host).toMatchObject({
        kind: 'failed',
        reason: 'dns_failed',
        detail,
        withheld: `${address} is ${why}`,
      });
      expect(why, host).toMatch(range);
    }
    expect(canary.connections()).toBe(0);
  });

  test('is refused when any of the answers is private, wherever it stands', async () => {
    const mixed: [answers: string[], withheld: string][] = [
      [['93.184.215.14', '10.0.0.1'], '10.0.0.1 is private (RFC 1918)'],
      [['10.0.0.1', '93.184.215.14'], '10.0.0.1 is private (RFC 1918)'],
      [['2606:2800:21f:cb07:6820:80da:af6b:8b2c', '::1', '93.184.215.14'], '::1 is loopback (RFC 4291)'],
      [['93.184.215.14', '::ffff:169.254.169.254'], '::ffff:169.254.169.254 is IPv4-mapped (RFC 4291)'],
      [['93.184.215.14', 'fe80::1%eth0'], 'fe80::1%eth0 is no plain address'],
      [['93.184.215.14', 'localhost'], 'localhost is no plain address'],
    ];
    for (const [answers, withheld] of mixed) {
      const outcome = await outcomeOf('http://hooks.example/', { lookup: async () => answers });
      expect(outcome, answers.join()).toMatchObject({ kind: 'failed', reason: 'dns_failed', withheld });
    }
  });

  test.each([
    ['', 'not a URL'],
    ['hooks.example/path', 'not a URL'],
    ['http://[fe80::1%25eth0]/', 'not a URL'],
    ['http://[::1', 'not a URL'],
    ['http://256.256.256.256/', 'not a URL'],
    ['http://1.2.3.4.5/', 'not a URL'],
    ['http://hooks.example:65536/', 'not a URL'],
    ['http://exa mple.com/', 'not a URL'],
    ['file:///etc/passwd', 'file is not allowed'],
    ['gopher://93.184.215.14:6379/_FLUSHALL', 'gopher is not allowed'],
    ['ftp://93.184.215.14/', 'ftp is not allowed'],
    ['javascript:alert(1)', 'javascript is not allowed'],
    ['data:text/plain,x', 'data is not allowed'],
    ['http://user@93.184.215.14/', 'user information in the URL'],
    ['http://:secret@93.184.215.14/', 'user information in the URL'],
    ['http://93.184.215.14@127.0.0.1/', 'user information in the URL'],
    ['http://93.184.215.14\\@127.0.0.1/', null],
    ['http://93.184.215.14:25/', 'port 25 is not allowed'],
    ['http://93.184.215.14:22/', 'port 22 is not allowed'],
    ['http://93.184.215.14:0/', 'port 0 is not allowed'],
    ['http://93.184.215.14:6667/', 'port 6667 is not allowed'],
  ])('%j: %s', (url, detail) => {
    const target = () => createAddressPolicy({ allowHttp: true }).target(url);
    // The backslash ends the host, as in browsers: this one leads to the public address, with a path.
    if (detail === null) expect(target()).toMatchObject({ hostname: '93.184.215.14', path: '/@127.0.0.1/' });
    else expect(target).toThrow(expect.objectContaining({ reason: 'address_refused', message: detail }));
  });

  test('is taken where it leads outside', () => {
    const policy = createAddressPolicy({});
    expect(policy.target('https://Hooks.Example./a/b?c=%20d#e')).toEqual({
      origin: 'https://hooks.example.',
      protocol: 'https:',
      hostname: 'hooks.example.',
      port: 443,
      path: '/a/b?c=%20d',
    });
    expect(policy.target('https://bücher.example:8443').hostname).toBe('xn--bcher-kva.example');
    expect(policy.target('https://[2606:4700::1111]/').hostname).toBe('2606:4700::1111');
  });

  test('is https, unless the operator allows http', () => {
    const url = 'http://hooks.example/';
    expect(() => createAddressPolicy({}).target(url)).toThrow(
      expect.objectContaining({ message: 'http is not allowed' }),
    );
    expect(createAddressPolicy({ allowHttp: true }).target(url).port).toBe(80);
  });
});

describe('an address', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '93.184.215.14',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '169.253.1.1',
  ])('outside, %s, is not refused', (address) => expect(refusedRange(address, 'ipv4')).toBeUndefined());

  test.each(['2606:4700:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '2400:cb00::1', '2003::1'])(
    'outside, %s, is not refused',
    (address) => expect(refusedRange(address, 'ipv6')).toBeUndefined(),
  );

  test('of this machine is refused, private or not', () => {
    const own = () => new Set(['203.0.114.1', '2606:4700::1']);
    const policy = createAddressPolicy({}, own);
    for (const address of own()) {
      expect(policy.refusal(address), address).toBe('an address of this machine');
      expect(createAddressPolicy({}).refusal(address), address).toBeUndefined();
      expect(createAddressPolicy({ allowedNetworks: [address] }, own).refusal(address), address).toBeUndefined();
    }
    for (const { address } of Object.values(networkInterfaces()).flatMap((list = []) => list)) {
      expect(createAddressPolicy({}).refusal(address), address).toBeDefined();
    }
  });

  test('that stands for an IPv4 address is refused, whichever that is', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.constantFrom('::ffff:', '::', '64:ff9b::', '::ffff:0:'), (address, prefix) => {
        expect(refusedRange(`${prefix}${address}`, 'ipv6')).toBeDefined();
      }),
    );
  });

  test('is refused, or global unicast, in every form that a URL can give it', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const { hostname } = new URL(`http://[${address}]`);
        const canonical = hostname.slice(1, -1);
        expect(refusedRange(address, 'ipv6')).toBe(refusedRange(canonical, 'ipv6'));
        expect(refusedRange(canonical, 'ipv6') !== undefined || /^[23]/.test(canonical)).toBe(true);
      }),
    );
  });
});

describe('a network that the operator opens', () => {
  const policy = createAddressPolicy({ allowedNetworks: ['10.1.0.0/16', 'fd12::/16', '192.168.7.7', '64:ff9b::/96'] });

  test('is open, and nothing beside it', () => {
    for (const address of ['10.1.2.3', 'fd12::1', '192.168.7.7'])
      expect(policy.refusal(address), address).toBeUndefined();
    for (const address of ['10.2.0.1', 'fd13::1', '192.168.7.8', '127.0.0.1']) {
      expect(policy.refusal(address), address).toBeDefined();
    }
  });

  test('as NAT64 prefix opens only what may be reached behind it', () => {
    expect(policy.refusal('64:ff9b::808:808')).toBeUndefined();
    expect(policy.refusal('64:ff9b::10.1.2.3')).toBeUndefined();
    for (const behind of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '0.0.0.0', '0.0.0.1', '127.0.0.0']) {
      expect(policy.refusal(`64:ff9b::${behind}`), behind).toBeDefined();
    }
  });

  test.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', 'example.com', '10.0.0.0/8/8', 'fe80::1%eth0', '::/129', ''])(
    '%j is none',
    (range) => expect(() => networks([range])).toThrow(RangeError),
  );
});
