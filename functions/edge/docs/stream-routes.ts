import { bearer, problem } from './parts.ts';
import type { Json } from './swagger.ts';

const EVENT_ID = '^evt_(0|[1-9][0-9]{0,15})$';
const lastEventId = {
  required: false,
  schema: { type: 'string', pattern: EVENT_ID, examples: ['evt_4711'] },
};

export const STREAM_PATHS: Json = {
  '/v1/stream': {
    get: {
      operationId: 'stream_events',
      tags: ['events'],
      summary: 'Follow events as they are committed',
      description:
        'Server-sent events: each has the event id as `id`, its type as `event`, and the CloudEvent as `data`. Without `Last-Event-ID` from ' +
        'now on. Quiet streams have comments and ids without data. The last event of a stream that the edge ends is `stream.closed`, ' +
        'and says why. Not part of PostgREST: reachable through the edge alone.',
      security: bearer,
      parameters: [
        {
          name: 'types',
          in: 'query',
          description: 'Types, with commas between; `app.jobs.*` stands for all that begin so.',
          required: false,
          style: 'form',
          explode: false,
          schema: { type: 'array', maxItems: 32, items: { type: 'string' }, examples: [['app.jobs.*', 'custom.x']] },
        },
        {
          name: 'subject',
          in: 'query',
          description: 'Only events of this subject: the id of a row.',
          required: false,
          schema: { type: 'string', minLength: 1, maxLength: 1024 },
        },
        {
          ...lastEventId,
          name: 'Last-Event-ID',
          in: 'header',
          description: 'What came after this event comes first. evt_0: everything that is kept.',
        },
        {
          ...lastEventId,
          name: 'last_event_id',
          in: 'query',
          description: 'The same, for clients that cannot set a header. The header goes before it.',
        },
      ],
      responses: {
        200: {
          description: 'Events, until the client goes, the token ends or may no more.',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        default: problem,
      },
    },
  },
};
