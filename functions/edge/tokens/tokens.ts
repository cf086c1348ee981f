import type { FastifyInstance } from 'fastify';
import { type ApiKeyParts, createApiKeys } from './api-keys.ts';
import { createGrants } from './grants.ts';
import { createIssuers, type IssuerOptions } from './issuers.ts';
import { sendOAuthError } from './oauth-error.ts';
import { acceptForms, parametersOf } from './parameters.ts';
import { createSessions, type SessionOptions } from './sessions.ts';

export interface TokenOptions extends IssuerOptions, SessionOptions {}

export interface TokenParts extends Omit<ApiKeyParts, 'tokenTtlSeconds'> {
  /** Takes one request of the address's bucket, before what it sent is looked up. */
  takeAddress(address: string, replyHeaders: Record<string, string>): Promise<void> | undefined;
  options: TokenOptions;
}

/** Bodies of these endpoints are one or two tokens. */
const BODY_BYTES = 64 * 1024;

/** Exchanges what proves who somebody is for a sealed token. */
export function createTokens({ pool, follower, log, takeAddress, holdAddress, options }: TokenParts) {
  const apiKeys = createApiKeys({ pool, follower, log, holdAddress, tokenTtlSeconds: options.tokenTtlSeconds });
  const grants = createGrants({
    apiKeys,
    issuers: createIssuers(pool, options),
    sessions: createSessions(pool, options),
  });

  return {
    exchangeApiKey: apiKeys.tokenOf,

    /** `POST /auth/v1/token`, `POST /auth/v1/revoke`, `GET /.well-known/jwks.json`. */
    serve(server: FastifyInstance): void {
      server.register(async (scope) => {
        acceptForms(scope);
        scope.setErrorHandler((error, request, reply) => sendOAuthError(request, reply, error));
        scope.addHook('onRequest', async (_request, reply) => {
          reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' });
        });
        // Before the body is read.
        scope.addHook('onRequest', async ({ ip }, reply) => {
          const headers: Record<string, string> = {};
          try {
            await takeAddress(ip, headers);
          } finally {
            reply.headers(headers);
          }
        });
        const route = { bodyLimit: BODY_BYTES };
        scope.post('/auth/v1/token', route, ({ body, ip }) => grants.grant(parametersOf(body), ip));
        scope.post('/auth/v1/revoke', route, async ({ body }, reply) => {
          await grants.revoke(parametersOf(body));
          return reply.code(200).send();
        });
      });
      // Our own tokens are HS256 with keys that never leave the database: nothing of them can be verified by a public key.
      server.get('/.well-known/jwks.json', (_request, reply) =>
        // As bytes: Fastify would add a charset, which JSON media types do not have.
        reply
          .header('cache-control', 'public, max-age=300')
          .type('application/jwk-set+json')
          .send(Buffer.from('{"keys":[]}')),
      );
    },

    stop: apiKeys.stop,
  };
}

export type Tokens = ReturnType<typeof createTokens>;
