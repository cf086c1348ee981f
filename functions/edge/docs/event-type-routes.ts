import { bearer, problem } from './parts.ts';
import type { Json } from './swagger.ts';

const ORDER_PAID = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'rowhouse:/v1/event-types/order.paid/1',
  type: 'object',
  required: ['total'],
  properties: { total: { type: 'number' } },
};

export const EVENT_TYPE_PATHS: Json = {
  '/v1/event-types/{type}/{version}': {
    get: {
      operationId: 'read_event_schema',
      tags: ['events'],
      summary: "Read the JSON Schema of an event's data",
      description:
        'The `dataschema` of an event is rowhouse: and this path. event_types lists them all, with their schemas; docs/event-types.md those that are built in. A version ' +
        'stays readable when there is a newer one; it may get more columns. The data of an emitted type is not compared with its schema: whether it fits is up to who ' +
        'emits it. Not part of PostgREST: reachable through the edge alone.',
      security: bearer,
      parameters: [
        {
          name: 'type',
          in: 'path',
          description:
            "A table's: its name and inserted, updated or deleted. Or one that was declared for what is emitted.",
          required: true,
          schema: { type: 'string', examples: ['app.jobs.updated', 'webhook.endpoint.disabled', 'order.paid'] },
        },
        {
          name: 'version',
          in: 'path',
          description: "The last part of the event's `dataschema`, which says what its data was written as.",
          required: true,
          schema: { type: 'integer', minimum: 1, examples: [1] },
        },
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
          content: { 'application/schema+json': { schema: { type: 'object' }, example: ORDER_PAID } },
        },
        304: { description: 'The copy at hand is what it is now' },
        default: problem,
      },
    },
  },
};
