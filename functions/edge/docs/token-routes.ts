import { content, problem } from './parts.ts';
import type { Json } from './swagger.ts';

const text = (description: string): Json => ({ type: 'string', description });
const form = (schema: Json) => ({
  content: { 'application/x-www-form-urlencoded': { schema }, 'application/json': { schema } },
});
const oauthError = {
  description: 'RFC 6749, 5.2, with the members of a problem beside it',
  ...content({
    allOf: [
      { $ref: '#/components/schemas/Problem' },
      {
        type: 'object',
        required: ['error'],
        properties: { error: { type: 'string' }, error_description: { type: 'string' } },
      },
    ],
  }),
};

export const TOKEN_PATHS: Json = {
  '/auth/v1/token': {
    post: {
      operationId: 'exchange_token',
      tags: ['tokens'],
      summary: 'Get a token',
      description: "Exchanges an API key, another issuer's JWT or a refresh token (RFC 8693, RFC 6749).",
      security: [],
      requestBody: {
        required: true,
        ...form({
          type: 'object',
          required: ['grant_type'],
          properties: {
            grant_type: { enum: ['urn:ietf:params:oauth:grant-type:token-exchange', 'refresh_token'] },
            subject_token: text('The API key or JWT.'),
            subject_token_type: {
              enum: [
                'urn:ietf:params:oauth:token-type:jwt',
                'urn:ietf:params:oauth:token-type:id_token',
                'urn:ietf:params:oauth:token-type:access_token',
                'urn:rowhouse:params:oauth:token-type:api_key',
              ],
            },
            tenant_id: text('Which tenant, for a user of several.'),
            scope: text("Of an API key's scopes, those that the token shall have."),
            refresh_token: text('With grant_type refresh_token.'),
          },
        }),
      },
      responses: {
        200: {
          description: 'A token',
          ...content({
            type: 'object',
            required: ['access_token', 'issued_token_type', 'token_type', 'expires_in', 'tenant_id'],
            properties: {
              access_token: { type: 'string' },
              issued_token_type: { type: 'string' },
              token_type: { const: 'Bearer' },
              expires_in: { type: 'integer' },
              tenant_id: { type: 'string' },
              scope: { type: 'string' },
              refresh_token: text('Good for one use.'),
            },
          }),
        },
        default: oauthError,
      },
    },
  },
  '/auth/v1/revoke': {
    post: {
      operationId: 'revoke_token',
      tags: ['tokens'],
      summary: 'Revoke a refresh token',
      security: [],
      requestBody: {
        required: true,
        ...form({ type: 'object', required: ['token'], properties: { token: { type: 'string' } } }),
      },
      responses: { 200: { description: 'Revoked, or unknown' }, default: oauthError },
    },
  },
  '/.well-known/jwks.json': {
    get: {
      operationId: 'keys',
      tags: ['tokens'],
      summary: 'Public keys (RFC 7517)',
      security: [],
      responses: {
        200: { description: 'A key set', content: { 'application/jwk-set+json': { schema: { type: 'object' } } } },
        default: problem,
      },
    },
  },
};
