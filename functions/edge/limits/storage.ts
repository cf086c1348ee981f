import type { onRequestAsyncHookHandler } from 'fastify';
import { RowhouseError } from '../../errors.ts';
import { OBJECTS_PATH } from '../../storage/fs.ts';
import { bearerToken, type ExchangeApiKey } from '../bearer.ts';
import type { Callers } from '../caller.ts';
import { pathOf } from '../reply.ts';
import type { Settings } from '../settings.ts';
import type { RateLimiter } from './limiter.ts';

export interface StorageLimitParts {
  limiter: RateLimiter;
  callers: Callers;
  settings: Settings;
  exchangeApiKey: ExchangeApiKey;
}

/** Routes of the storage that take a token count as the tenant's reads and writes. Signed URLs do not: to get one counted. */
export function limitStorage({
  limiter,
  callers,
  settings,
  exchangeApiKey,
}: StorageLimitParts): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const path = pathOf(request);
    if (!path.startsWith('/storage/v1/') || path.startsWith(OBJECTS_PATH)) return;
    const fields: Record<string, string> = {};
    try {
      const { tenantId } = await callers.of(await bearerToken(request, exchangeApiKey));
      if (tenantId === null) return;
      const kind = request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
      await limiter.take(await settings.of(tenantId), kind, fields);
    } catch (error) {
      const stranger = error instanceof RowhouseError && error.status === 401;
      if (stranger) await limiter.takeAddress(request.ip, fields);
      throw error;
    } finally {
      reply.headers(fields);
    }
  };
}
