import { EVENT_TYPE_PATHS } from './event-type-routes.ts';
import { bearer, content, problem } from './parts.ts';
import { STORAGE_PATHS } from './storage-routes.ts';
import { STREAM_PATHS } from './stream-routes.ts';
import type { Json } from './swagger.ts';
import { TOKEN_PATHS } from './token-routes.ts';

const status = (operationId: string, summary: string): Json => ({
  get: {
    operationId,
    tags: ['status'],
    summary,
    security: [],
    responses: {
      200: {
        description: 'Yes',
        ...content({ type: 'object', required: ['status'], properties: { status: { type: 'string' } } }),
      },
      default: problem,
    },
  },
});

/** The edge's own routes, which PostgREST does not know. */
export const EDGE_PATHS: Json = {
  ...STORAGE_PATHS,
  ...TOKEN_PATHS,
  ...STREAM_PATHS,
  ...EVENT_TYPE_PATHS,
  '/healthz': status('healthz', 'Whether the process answers'),
  '/readyz': status('readyz', 'Whether it, the database and PostgREST answer'),
  '/openapi.json': {
    get: {
      operationId: 'openapi',
      tags: ['status'],
      summary: 'This document, as the caller sees the API',
      security: [{}, ...bearer],
      responses: {
        200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
        default: problem,
      },
    },
  },
};
