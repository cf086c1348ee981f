import { BlockList, isIP } from 'node:net';

/**
 * Where no delivery goes: what the IANA registries of special-purpose addresses (RFC 6890) do not call globally reachable,
 * what stands for other addresses, and what clouds answer at. Narrow ranges before wide ones: the first that fits gives the name.
 */
const REFUSED: readonly (readonly [range: string, name: string])[] = [
  ['0.0.0.0/32', 'unspecified (RFC 1122)'],
  ['0.0.0.0/8', 'this network (RFC 791)'],
  ['10.0.0.0/8', 'private (RFC 1918)'],
  ['100.64.0.0/10', 'carrier-grade NAT (RFC 6598)'],
  ['127.0.0.0/8', 'loopback (RFC 1122)'],
  ['168.63.129.16/32', 'metadata (Azure)'],
  ['169.254.169.254/32', 'metadata (clouds)'],
  ['169.254.0.0/16', 'link-local (RFC 3927)'],
  ['172.16.0.0/12', 'private (RFC 1918)'],
  ['192.0.0.0/24', 'protocol assignments (RFC 6890)'],
  ['192.0.2.0/24', 'documentation (RFC 5737)'],
  ['192.31.196.0/24', 'AS112 (RFC 7535)'],
  ['192.52.193.0/24', 'multicast tunnels (RFC 7450)'],
  ['192.88.99.0/24', '6to4 relays (RFC 7526)'],
  ['192.168.0.0/16', 'private (RFC 1918)'],
  ['192.175.48.0/24', 'AS112 (RFC 7534)'],
  ['198.18.0.0/15', 'benchmarks (RFC 2544)'],
  ['198.51.100.0/24', 'documentation (RFC 5737)'],
  ['203.0.113.0/24', 'documentation (RFC 5737)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)'],
  ['255.255.255.255/32', 'broadcast (RFC 919)'],
  ['240.0.0.0/4', 'reserved (RFC 1112)'],
  ['::/128', 'unspecified (RFC 4291)'],
  ['::1/128', 'loopback (RFC 4291)'],
  ['::ffff:0:0/96', 'IPv4-mapped (RFC 4291)'],
  ['::ffff:0:0:0/96', 'IPv4-translated (RFC 2765)'],
  ['::/96', 'IPv4-compatible (RFC 4291)'],
  ['64:ff9b::/96', 'NAT64 (RFC 6052)'],
  ['64:ff9b:1::/48', 'NAT64 (RFC 8215)'],
  ['100::/64', 'discard (RFC 6666)'],
  ['2001::/32', 'Teredo (RFC 4380)'],
  ['2001::/23', 'protocol assignments (RFC 2928)'],
  ['2001:db8::/32', 'documentation (RFC 3849)'],
  ['2002::/16', '6to4 (RFC 3056)'],
  ['2620:4f:8000::/48', 'AS112 (RFC 7534)'],
  ['3fff::/20', 'documentation (RFC 9637)'],
  ['5f00::/16', 'segment routing (RFC 9602)'],
  ['fd00:ec2::254/128', 'metadata (AWS)'],
  ['fd20:ce::254/128', 'metadata (Google)'],
  ['fc00::/7', 'unique local (RFC 4193)'],
  ['fe80::/10', 'link-local (RFC 4291)'],
  ['fec0::/10', 'site-local (RFC 3879)'],
  ['ff00::/8', 'multicast (RFC 4291)'],
];
const GLOBAL_UNICAST = '2000::/3';

export type Family = 'ipv4' | 'ipv6';

/** The family of a literal address without zone, or undefined. */
export function familyOf(address: string): Family | undefined {
  // A zone selects an interface: such an address is never a public one.
  if (address.includes('%')) return undefined;
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
}

/**
 * A list of networks.
 * @param ranges in CIDR notation, or single addresses
 * @throws RangeError naming the one that is neither
 */
export function networks(ranges: Iterable<string>): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', length, ...rest] = range.split('/');
    const family = familyOf(address);
    const bits = family === 'ipv4' ? 32 : 128;
    const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
    if (!family || rest.length > 0 || !(prefix <= bits))
      throw new RangeError(`${range} is no network such as 10.0.0.0/8`);
    list.addSubnet(address, prefix, family);
  }
  return list;
}

// BlockList finds IPv4 rules for ::ffff:a.b.c.d as well, and IPv6 ones for IPv4: each family asks its own.
const byFamily: Record<Family, readonly { list: BlockList; name: string }[]> = {
  ipv4: named('ipv4'),
  ipv6: named('ipv6'),
};
const globalUnicast = networks([GLOBAL_UNICAST]);

function named(family: Family) {
  return REFUSED.filter(([range]) => range.includes(':') === (family === 'ipv6')).map(([range, name]) => ({
    list: networks([range]),
    name,
  }));
}

/** The name of the range for which no delivery goes to an address, or undefined where it is an address like any other. */
export function refusedRange(address: string, family: Family): string | undefined {
  const found = byFamily[family].find(({ list }) => list.check(address, family))?.name;
  if (found || family === 'ipv4') return found;
  return globalUnicast.check(address, family) ? undefined : 'not global unicast (RFC 4291)';
}
