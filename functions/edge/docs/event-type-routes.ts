import { bearer, problem } from './parts.ts';
import type { Json } from './swagger.ts';

export const EVENT_TYPE_PATHS: Json = {
  '/v1/event-types/{type}/{version}': {
    get: {
      operationId: 'read_event_schema',
      tags: ['events'],
      summary: "Read the JSON Schema of an event's data",
      description:
        'The `dataschema` of an event is rowhouse: and this path. event_types lists them all. A version stays readable when there is a newer one; it may get more ' +
        'columns. Not part of PostgREST: reachable through the edge alone.',
      security: bearer,
      parameters: [
        {
          name: 'type',
          in: 'path',
          required: true,
          schema: { type: 'string', examples: ['app.jobs.updated'] },
        },
        { name: 'version', in: 'path', required: true, schema: { type: 'integer', minimum: 1, examples: [1] } },
        {
          name: 'If-None-Match',
          in: 'header',
          description: 'The ETag of the copy at hand.',
          required: false,
          schema: { type: 'string' },
        },
      ],
      responses: {
        200: {
          description: 'JSON Schema, draft 2020-12',
          headers: { ETag: { schema: { type: 'string' } } },
          content: { 'application/schema+json': { schema: { type: 'object' } } },
        },
        304: { description: 'The copy at hand is what it is now' },
        default: problem,
      },
    },
  },
};
