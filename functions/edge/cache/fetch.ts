import type { Caller } from '../caller.ts';
import { collect } from '../collect.ts';
import type { Answer, Exchange } from '../pipeline.ts';
import type { TenantSettings } from '../settings.ts';
import type { Catalogue } from './catalogue.ts';
import { type Directives, mayKeep } from './directives.ts';
import { COMMON_HEADERS, formsOf, give } from './entry.ts';
import type { Schema } from './schema.ts';
import type { Kept, Store, Tenant } from './store.ts';
import { isOff, isOwnForm, type Reading, readTarget } from './target.ts';
import type { Verdict, Verdicts } from './verdicts.ts';

export type Next = () => Promise<Answer>;

/** A GET that may be answered from what is kept. */
export interface Wanted {
  exchange: Exchange;
  caller: Caller;
  settings: TenantSettings;
  tenant: Tenant;
  key: string;
  directives: Directives;
  /** Undefined for a token that the database has not let in yet. */
  verdict: Verdict | undefined;
}

export interface Fetcher {
  /** Asks PostgREST, and keeps the answer where it may be kept. */
  fetch(wanted: Wanted, next: Next): Promise<Answer>;
  /** Asks PostgREST. */
  bypass(exchange: Exchange, next: Next): Promise<Answer>;
}

export interface FetcherParts {
  /** Whether changes are being told: what is asked for before that cannot be kept, since a change could be missed. */
  isFollowing(): boolean;
  /** Whether everything that the tenant has written through this edge has been told. */
  knowsWrites(tenant: Tenant): boolean;
  /** Resolves when a snapshot taken after the call has been compared; to undefined where that fails or takes too long. */
  sync(): Promise<number | undefined>;
  schema: Schema;
  store: Store;
  verdicts: Verdicts;
}

const ANSWER_BYTES = 512 * 1024;
/** No answer takes more than this part of its tenant's room. */
const PART = 4;
const NEVER = Promise.resolve(false);

export function createFetcher(parts: FetcherParts): Fetcher {
  const { isFollowing, knowsWrites, sync, schema, store, verdicts } = parts;

  function bypass({ replyHeaders }: Exchange, next: Next): Promise<Answer> {
    Object.assign(replyHeaders, COMMON_HEADERS);
    replyHeaders['x-cache'] = 'BYPASS';
    return next();
  }

  async function fetch(wanted: Wanted, next: Next): Promise<Answer> {
    const { exchange, settings } = wanted;
    // A change that is told after the request has gone out ends the answer, though it may have seen it.
    if (!knowsWrites(wanted.tenant)) await sync();
    const catalogue = schema.current() ?? (await schema.refresh());
    const reading = catalogue && readTarget(exchange.path, catalogue);
    if (!reading || !isOwnForm(exchange.headers.accept, catalogue) || isOff(reading, settings) || !isFollowing()) {
      return bypass(exchange, next);
    }
    Object.assign(exchange.replyHeaders, COMMON_HEADERS);
    exchange.replyHeaders['x-cache'] = 'MISS';
    return ask(wanted, begin(wanted, reading, catalogue), next);
  }

  /** From before the request is sent, a change of what it reads is one that the answer may not have seen. */
  function begin({ tenant, key, caller, settings }: Wanted, reading: Reading, catalogue: Catalogue): Kept {
    const kept: Kept = {
      ...reading,
      alive: true,
      key,
      token: caller.token,
      authority: tenant.authority,
      catalogue,
      settings,
      forms: undefined,
      arrived: NEVER,
    };
    store.watch(tenant, kept);
    return kept;
  }

  async function ask(wanted: Wanted, kept: Kept, next: Next): Promise<Answer> {
    const { tenant, key } = wanted;
    const verdict = verdicts.draft(wanted.caller, tenant);
    const answering = next().then((answer) => take(wanted, kept, verdict, answer));
    kept.arrived = answering.then(
      () => kept.forms !== undefined,
      () => false,
    );
    if (!tenant.underWay.has(key)) tenant.underWay.set(key, kept);
    try {
      return await answering;
    } finally {
      if (tenant.underWay.get(key) === kept) tenant.underWay.delete(key);
      if (kept.forms === undefined) store.unwatch(tenant, kept);
    }
  }

  async function take(wanted: Wanted, kept: Kept, verdict: Verdict, answer: Answer): Promise<Answer> {
    if (answer.status !== 200 || answer.fromReplica) return answer;
    verdicts.pass(wanted.caller, wanted.exchange.request, verdict);
    if (!mayKeep(answer.headers)) return answer;
    const { exchange, tenant, settings } = wanted;
    const limit = Math.min(ANSWER_BYTES, settings.cacheBytes / PART);
    const body = await collect(answer.body, limit);
    if (!Buffer.isBuffer(body)) return { ...answer, body };
    kept.forms = formsOf(answer.headers, body, kept.key);
    store.keep(tenant, kept, settings.cacheBytes);
    return give(kept.forms, exchange, false);
  }

  return { fetch, bypass };
}
