import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RowhouseError } from '../../errors.ts';
import { OBJECTS_PATH } from '../../storage/fs.ts';
import { bearerToken, type ExchangeApiKey } from '../bearer.ts';
import type { Caller, Callers } from '../caller.ts';
import { pathOf } from '../reply.ts';
import type { Settings } from '../settings.ts';
import { checkAgreement, type Hosts } from '../tenant-resolution.ts';
import { isDisagreement, type RateLimiter } from './limiter.ts';
import { asRefusal, type Refusals } from './refusals.ts';

export interface StorageLimitParts {
  limiter: RateLimiter;
  callers: Callers;
  settings: Settings;
  exchangeApiKey: ExchangeApiKey;
  hosts: Hosts;
  refusals: Refusals;
}

/** Routes of the storage that take a token count as the tenant's reads and writes. Signed URLs do not: to get one counted. */
export function limitStorage(server: FastifyInstance, parts: StorageLimitParts): void {
  const { limiter, callers, settings, exchangeApiKey, hosts, refusals } = parts;
  const asked = new WeakMap<FastifyRequest, { caller: Caller; mark: number }>();

  /** Takes a unit of the tenant's. */
  async function take(request: FastifyRequest, fields: Record<string, string>): Promise<void> {
    const caller = await callers.of(await bearerToken(request, exchangeApiKey));
    const refused = await refusals.of(caller);
    if (refused) throw refused;
    asked.set(request, { caller, mark: refusals.mark() });
    if (caller.tenantId === null) return;
    const own = await settings.of(caller.tenantId);
    const kind = request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
    await limiter.take(own, kind, fields);
    try {
      await checkAgreement(hosts, request.headers, caller.tenantId);
    } catch (error) {
      if (isDisagreement(error) && !own.shadow) limiter.restore(own, kind);
      throw error;
    }
  }

  server.addHook('onRequest', async (request, reply) => {
    const path = pathOf(request);
    if (!path.startsWith('/storage/v1/') || path.startsWith(OBJECTS_PATH)) return;
    const fields: Record<string, string> = {};
    try {
      await take(request, fields);
    } catch (error) {
      const isClients = error instanceof RowhouseError && error.status < 500;
      // Where the tenant's bucket was asked and there was nothing to be had, that is all.
      const isAddress = fields.ratelimit === undefined || isDisagreement(error);
      if (isClients && isAddress) await limiter.takeAddress(request.ip, fields);
      throw error;
    } finally {
      reply.headers(fields);
    }
  });
  server.addHook('onError', async (request, _reply, error) => {
    const { caller, mark } = asked.get(request) ?? {};
    const refusal = asRefusal(error as Partial<RowhouseError>);
    if (caller && mark !== undefined && refusal) refusals.note(caller, refusal, mark);
  });
}
