import { networkInterfaces } from 'node:os';
import { SendFailure } from './outcome.ts';
import { familyOf, networks, refusedRange } from './ranges.ts';

/** Ports that Fetch blocks, since servers of other protocols listen there: https://fetch.spec.whatwg.org/#port-blocking */
export const REFUSED_PORTS: readonly number[] = [
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
  6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

export interface AddressOptions {
  /** Default false: https alone. */
  allowHttp?: boolean;
  /** Networks that the operator opens although they are refused, in CIDR notation. */
  allowedNetworks?: readonly string[];
  refusedPorts?: readonly number[];
  /** What the tenant is told where nothing listens at an address: in the words that a connection would fail with. */
  nothingListens?: string;
}

/** Where a URL leads, before its name is resolved. */
export interface Target {
  origin: string;
  protocol: 'http:' | 'https:';
  /** Without brackets. */
  hostname: string;
  port: number;
  path: string;
}

export interface AddressPolicy {
  /** @throws SendFailure address_refused: the URL leads nowhere that deliveries go, whatever its name resolves to; or as refuse() */
  target(url: string): Target;
  /** What an address is refused for, or undefined. */
  refusal(address: string): string | undefined;
  /** The failure of a literal address that is refused. */
  refuse(address: string, why: string): SendFailure;
}

/** Names of this machine alone, that no name server is to be asked for (RFC 6761). */
export const LOCALHOST = /^(?:.+\.)?localhost\.?$/;
const OWN = 'an address of this machine';
const OWN_ADDRESSES_MS = 30_000;

/** Services that listen on every interface answer at a public address of this machine, too, and its firewall lets it in. */
function ownAddresses(): () => ReadonlySet<string> {
  let readAt = Number.NEGATIVE_INFINITY;
  let own: ReadonlySet<string> = new Set();
  return () => {
    if (performance.now() - readAt > OWN_ADDRESSES_MS) {
      readAt = performance.now();
      own = new Set(Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address)));
    }
    return own;
  };
}

/** The IPv4 address that NAT64's well-known prefix stands for (RFC 6052): opening the prefix does not open what lies behind. */
function behindNat64(address: string): string | undefined {
  const { hostname } = new URL(`http://[${address}]`);
  const [, high, low] = /^\[64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})?\]$/.exec(hostname) ?? [];
  if (high === undefined && low === undefined) return hostname === '[64:ff9b::]' ? '0.0.0.0' : undefined;
  const words = [Number.parseInt(high ?? '0', 16), Number.parseInt(low ?? '0', 16)];
  return words.flatMap((word) => [word >> 8, word & 255]).join('.');
}

/**
 * @param own the addresses of this machine
 * @throws RangeError where an allowed network is none
 */
export function createAddressPolicy(options: AddressOptions, own = ownAddresses()): AddressPolicy {
  const allowed = networks(options.allowedNetworks ?? []);
  const refusedPorts = new Set(options.refusedPorts ?? REFUSED_PORTS);

  function refusal(address: string): string | undefined {
    const family = familyOf(address);
    if (!family) return 'no plain address';
    if (allowed.check(address, family)) {
      const behind = family === 'ipv6' ? behindNat64(address) : undefined;
      return behind === undefined ? undefined : refusal(behind);
    }
    return refusedRange(address, family) ?? (own().has(address) ? OWN : undefined);
  }

  /**
   * The ranges are public knowledge. Which public address is a worker's is not, least of all behind a proxy: to its tenants it is one where
   * nothing listens.
   */
  function refuse(address: string, why: string): SendFailure {
    const refused = `${address} is ${why}`;
    if (why !== OWN) return new SendFailure('address_refused', refused);
    return new SendFailure('connect_failed', options.nothingListens ?? 'ECONNREFUSED', undefined, refused);
  }

  return {
    refusal,
    refuse,
    target(url) {
      const invalid = (why: string) => new SendFailure('address_refused', why);
      if (!URL.canParse(url)) throw invalid('not a URL');
      const { origin, protocol, hostname, port, username, password, pathname, search } = new URL(url);
      if (protocol !== 'https:' && !(protocol === 'http:' && options.allowHttp)) {
        throw invalid(`${protocol.slice(0, -1)} is not allowed`);
      }
      if (username !== '' || password !== '') throw invalid('user information in the URL');
      const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
      if (refusedPorts.has(number)) throw invalid(`port ${number} is not allowed`);
      const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
      const address = LOCALHOST.test(host) ? '127.0.0.1' : host;
      const why = familyOf(address) && refusal(address);
      if (why) throw refuse(host, why);
      return {
        origin,
        protocol: protocol as Target['protocol'],
        hostname: host,
        port: number,
        path: pathname + search,
      };
    },
  };
}
