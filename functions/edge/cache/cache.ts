import type { Pool } from '../../database.ts';
import { RowhouseError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { type Follower, isAuthority } from '../follow/follower.ts';
import type { Answer, Exchange, Stage } from '../pipeline.ts';
import { directivesOf } from './directives.ts';
import { type Forms, give } from './entry.ts';
import { createFetcher, type Next, type Wanted } from './fetch.ts';
import { patiently } from './patience.ts';
import { createSchema } from './schema.ts';
import { createStore, type Kept } from './store.ts';
import { isOff } from './target.ts';
import { audienceOf, createVerdicts } from './verdicts.ts';

export interface CacheParts {
  follower: Follower;
  pool: Pool;
  log: Logger;
  /** For all tenants together; each has its own limit within. */
  totalBytes: number;
  /** A database that does not say within this whether what is kept still holds is not waited for: the request goes to PostgREST. */
  patienceMs: number;
}

/**
 * Answers GETs from what the database has answered before to the same tenant, role and subject, where nothing beneath has changed
 * since: for each request, a snapshot taken after it arrived has been compared first.
 */
export function createCache({ follower, pool, log, totalBytes, patienceMs }: CacheParts): { stage: Stage } {
  const store = createStore(totalBytes);
  const verdicts = createVerdicts();
  const schema = createSchema(pool, patienceMs, (error) =>
    log.warn({ cause: (error as Error).message }, 'nothing is cached'),
  );
  const sync = patiently(patienceMs, () => follower.sync());
  const fetcher = createFetcher({
    isFollowing: () => follower.mark() > lostAt,
    // The comparison that was under way when the write was answered may be older than it.
    knowsWrites: ({ wroteAt }) => follower.mark() > wroteAt + 1,
    sync,
    schema,
    store,
    verdicts,
  });
  // Until a first snapshot has been compared, a change could be missed.
  let lostAt = 0;
  follower.sync().catch(() => {});

  follower.onChange(({ tenantId, table }) => {
    if (tenantId === null) {
      // What else the directory says of a tenant, its ledger says too; and settings are not the gate's.
      if (table.startsWith('auth.')) verdicts.keysChanged();
      store.tableChanged(null, table);
    } else if (isAuthority(table)) store.authorityChanged(tenantId);
    else store.tableChanged(tenantId, table);
  });
  follower.onReset(() => {
    lostAt = follower.mark();
    store.forget();
    verdicts.keysChanged();
  });

  /** What is kept may be given: as of now it is what the database would answer, to this token. */
  function mayGive(kept: Kept, { exchange, verdict }: Wanted): boolean {
    if (!verdict || !verdicts.holds(verdict) || kept.authority !== verdict.authority) return false;
    if (!kept.alive || kept.catalogue !== schema.current()) return false;
    if (kept.settings === exchange.settings) return true;
    if (!exchange.settings || isOff(kept, exchange.settings)) return false;
    kept.settings = exchange.settings;
    return true;
  }

  async function fromKept(kept: Kept, wanted: Wanted, next: Next): Promise<Answer> {
    const refreshing = schema.current() ? undefined : schema.refresh();
    if ((await sync()) !== undefined) {
      if (refreshing) await refreshing;
      if (mayGive(kept, wanted)) return give(kept.forms as Forms, wanted.exchange, true);
    }
    const leader = wanted.tenant.underWay.get(wanted.key);
    return leader ? fromLeader(leader, wanted, next) : fetch(wanted, next);
  }

  /** Waits for the answer that another request has asked for. It is given if it is what this one would get by now. */
  async function fromLeader(leader: Kept, wanted: Wanted, next: Next): Promise<Answer> {
    const [mark, arrived] = await Promise.all([sync(), leader.arrived]);
    if (mark !== undefined && arrived) {
      if (!schema.current()) await schema.refresh();
      wanted.verdict ??= verdicts.of(wanted.caller, wanted.exchange.request, wanted.tenant);
      if (mayGive(leader, wanted)) return give(leader.forms as Forms, wanted.exchange, true);
    }
    return fetch(wanted, next);
  }

  async function write({ method, caller }: Exchange, next: Next): Promise<Answer> {
    if (method === 'HEAD' || method === 'OPTIONS' || !caller?.tenantId) return next();
    const tenant = store.tenant(caller.tenantId);
    try {
      return await next();
    } finally {
      tenant.wroteAt = follower.mark();
    }
  }

  async function fetch(wanted: Wanted, next: Next): Promise<Answer> {
    if (wanted.directives.onlyKept) {
      throw new RowhouseError('not_cached', { hint: 'Ask without Cache-Control: only-if-cached.' });
    }
    return fetcher.fetch(wanted, next);
  }

  const stage: Stage = (exchange, next) => {
    if (exchange.method !== 'GET') return write(exchange, next);
    const { caller, settings, request } = exchange;
    const directives = directivesOf(exchange.headers);
    const isOn = totalBytes > 0 && settings?.cacheEnabled && settings.cacheBytes > 0;
    if (!isOn || exchange.schema !== 'v1' || directives.noStore || !caller || caller.tenantId === null)
      return fetcher.bypass(exchange, next);

    const tenant = store.tenant(caller.tenantId);
    const verdict = verdicts.of(caller, request, tenant);
    const key = keyOf(exchange, verdict?.audience ?? audienceOf(caller));
    const wanted: Wanted = { exchange, caller, settings, tenant, key, directives, verdict };
    if (directives.fresh) return fetch(wanted, next);
    const kept = verdict && tenant.kept?.get(key);
    if (kept) return fromKept(kept, wanted, next);
    const leader = tenant.underWay.get(key);
    return leader && (verdict || leader.token === caller.token)
      ? fromLeader(leader, wanted, next)
      : fetch(wanted, next);
  };
  return { stage };
}

/** The target as it was sent, and the headers that PostgREST looks at. None of them can hold a line break. */
function keyOf({ path, headers }: Exchange, audience: string): string {
  const { accept = '', prefer = '', range = '', 'range-unit': unit = '' } = headers;
  return `${audience}\n${path}\n${accept}\n${prefer}\n${range}\n${unit}`;
}
