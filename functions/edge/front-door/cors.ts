import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RateLimiter } from '../limits/limiter.ts';
import type { Stage } from '../pipeline.ts';
import type { Settings } from '../settings.ts';
import type { Hosts } from '../tenant-resolution.ts';

export interface CorsParts {
  settings: Pick<Settings, 'of'>;
  hosts: Hosts;
  /** Takes from the address's bucket before a host is looked up for somebody without a token. */
  takeAddress: RateLimiter['takeAddress'];
  /** Whose pages may call for tenants that name none themselves; `*` for everybody's. */
  origins: readonly string[];
}

export interface Cors {
  /** Answers preflights, and marks answers of routes that are no tenant's API. Whether it has answered. */
  onRequest(request: FastifyRequest, reply: FastifyReply): boolean | Promise<boolean>;
  /** Marks answers of the API, by the caller's tenant. */
  stage: Stage;
}

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const EXPOSED = [
  'Content-Location',
  'Content-Range',
  'ETag',
  'Idempotency-Replayed',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-Cache',
  'X-Request-Id',
  'X-Tenant-Id',
].join(', ');
const PREFLIGHT_SECONDS = 600;
const withOrigin = (vary: string) => (/\bOrigin\b/i.test(vary) ? vary : `${vary}, Origin`);
const HEADER_NAMES = /^[\w-]{1,64}(?:, ?[\w-]{1,64}){0,31}$/;

/**
 * Cross-origin requests (Fetch standard, 3.3), by tenant. A preflight has no token: it is answered by the host's tenant. What the answer
 * itself may be shown to is decided by the caller's tenant, which a hook in front of the route, as @fastify/cors has, cannot know.
 * No cookies are involved, so credentials are never allowed.
 */
export function createCors({ settings, hosts, takeAddress, origins }: CorsParts): Cors {
  const allows = (origin: string, own: readonly string[]) => {
    const list = own.length > 0 ? own : origins;
    return list.includes(origin) || list.includes('*');
  };
  const mark = (headers: Record<string, string>, origin: string, own: readonly string[]) => {
    headers.vary = headers.vary === undefined ? 'Origin' : withOrigin(headers.vary);
    if (!allows(origin, own)) return false;
    headers['access-control-allow-origin'] = origin;
    headers['access-control-expose-headers'] = EXPOSED;
    return true;
  };

  async function byHost(request: FastifyRequest, reply: FastifyReply, origin: string): Promise<boolean> {
    const fields: Record<string, string> = {};
    const admit = () => takeAddress(request.ip, fields);
    let tenantId: string | null;
    try {
      tenantId = await hosts.tenantForStranger(request.headers.host, admit);
    } finally {
      reply.headers(fields);
    }
    const own = tenantId ? (await settings.of(tenantId)).corsOrigins : [];
    const headers: Record<string, string> = {};
    const allowed = mark(headers, origin, own);
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) {
      reply.headers(headers);
      return false;
    }
    if (allowed) {
      headers['access-control-allow-methods'] = METHODS;
      headers['access-control-max-age'] = String(PREFLIGHT_SECONDS);
      const asked = request.headers['access-control-request-headers'];
      if (asked !== undefined && HEADER_NAMES.test(asked)) headers['access-control-allow-headers'] = asked;
    }
    headers.vary = 'Origin, Access-Control-Request-Headers';
    reply.code(204).headers(headers).send();
    return true;
  }

  return {
    onRequest(request, reply) {
      const { origin } = request.headers;
      if (origin === undefined) return false;
      const isPreflight = request.method === 'OPTIONS' && 'access-control-request-method' in request.headers;
      return isPreflight || !request.routeOptions.config.corsByCaller ? byHost(request, reply, origin) : false;
    },
    async stage(exchange, next) {
      const { origin } = exchange.headers;
      if (origin === undefined) return next();
      try {
        return await next();
      } finally {
        mark(exchange.replyHeaders, origin, exchange.settings?.corsOrigins ?? []);
      }
    },
  };
}
