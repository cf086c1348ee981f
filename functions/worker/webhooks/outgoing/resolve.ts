import { Resolver } from 'node:dns/promises';
import { type AddressPolicy, LOCALHOST } from './addresses.ts';
import { SendFailure } from './outcome.ts';
import { familyOf } from './ranges.ts';

/** All addresses of a name. */
export type Lookup = (hostname: string, signal: AbortSignal) => Promise<readonly string[]>;

const NO_SUCH = new Set(['ENODATA', 'ENOTFOUND']);

/**
 * Asks the name servers, not the system: `getaddrinfo` keeps one of four threads for as long as a name server is silent, which a
 * tenant could use to hold up files and keys as well; and hosts files and search domains name what is inside.
 * @param nameServers default: those of the system
 */
export function createLookup(nameServers?: readonly string[]): Lookup {
  return async (hostname, signal) => {
    if (LOCALHOST.test(hostname)) return ['127.0.0.1'];
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    if (nameServers) resolver.setServers(nameServers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
      const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
      if (addresses.length > 0) return addresses;
      const reasons = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
      throw reasons.find(({ code }) => !NO_SUCH.has(code)) ?? reasons[0];
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

/**
 * One failure for a name that does not exist and for one that leads inside, with the same words: what name servers know of the network
 * inside is not for tenants, not even which names there are.
 */
function nameFailure(hostname: string, withheld: string, cause?: unknown): SendFailure {
  return new SendFailure('dns_failed', `${hostname} has no address that deliveries go to`, cause, withheld);
}

export interface ResolverOptions {
  policy: AddressPolicy;
  lookup: Lookup;
  timeoutMs: number;
}

/**
 * Resolves a name once, and lets its addresses through only if every one of them may be connected to: among several, the client's
 * system would choose. Those who ask for one name at the same time share the answer; nothing is kept afterwards.
 */
export function createResolver({ policy, lookup, timeoutMs }: ResolverOptions) {
  const asking = new Map<string, Promise<readonly string[]>>();

  async function ask(hostname: string): Promise<readonly string[]> {
    const signal = AbortSignal.timeout(timeoutMs);
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error(`no answer in ${timeoutMs} ms`)), { once: true });
    });
    try {
      const addresses = await Promise.race([lookup(hostname, signal), late]);
      if (addresses.length === 0) throw new Error('no address');
      return addresses;
    } catch (cause) {
      throw nameFailure(hostname, (cause as Error).message, cause);
    }
  }

  function askOnce(hostname: string): Promise<readonly string[]> {
    const asked = asking.get(hostname) ?? ask(hostname).finally(() => asking.delete(hostname));
    asking.set(hostname, asked);
    return asked;
  }

  /** @throws SendFailure dns_failed, address_refused */
  return async function resolve(hostname: string): Promise<readonly string[]> {
    const literal = familyOf(hostname) !== undefined;
    const addresses = literal ? [hostname] : await askOnce(hostname);
    for (const address of addresses) {
      const why = policy.refusal(address);
      if (!why) continue;
      throw literal ? policy.refuse(address, why) : nameFailure(hostname, `${address} is ${why}`);
    }
    return addresses;
  };
}
