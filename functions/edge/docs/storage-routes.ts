import { bearer, content, problem } from './parts.ts';
import type { Json } from './swagger.ts';

const id = { name: 'id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } };
const fileState = {
  type: 'object',
  required: ['id', 'size', 'status'],
  properties: {
    id: { type: 'string', format: 'uuid' },
    size: { type: 'integer', format: 'int64' },
    sha256: { type: ['string', 'null'] },
    status: { enum: ['pending', 'stored'] },
  },
};

export const STORAGE_PATHS: Json = {
  '/storage/v1/uploads': {
    post: {
      operationId: 'announce_upload',
      tags: ['storage'],
      summary: 'Announce an upload',
      description: 'Creates a file and answers with the signed request that puts its bytes in place.',
      security: bearer,
      requestBody: {
        required: true,
        ...content({
          type: 'object',
          additionalProperties: false,
          required: ['name', 'content_type', 'size'],
          properties: {
            name: { type: 'string', minLength: 1, maxLength: 255 },
            content_type: { type: 'string', examples: ['text/csv'] },
            size: { type: 'integer', format: 'int64', minimum: 0 },
            sha256: { type: 'string', pattern: '^[0-9a-f]{64}$' },
          },
        }),
      },
      responses: {
        201: {
          description: 'Announced',
          headers: { Location: { schema: { type: 'string' } } },
          ...content({
            type: 'object',
            required: ['file', 'upload'],
            properties: {
              file: { type: 'object' },
              upload: {
                type: 'object',
                required: ['method', 'url', 'headers', 'expires_at'],
                properties: {
                  method: { const: 'PUT' },
                  url: { type: 'string' },
                  headers: { type: 'object', additionalProperties: { type: 'string' } },
                  expires_at: { type: 'string', format: 'date-time' },
                },
              },
            },
          }),
        },
        default: problem,
      },
    },
  },
  '/storage/v1/uploads/{id}/complete': {
    post: {
      operationId: 'complete_upload',
      tags: ['storage'],
      summary: 'Complete an upload that went to a bucket',
      security: bearer,
      parameters: [id],
      responses: { 200: { description: 'The file', ...content(fileState) }, default: problem },
    },
  },
  '/storage/v1/files/{id}': {
    get: {
      operationId: 'download_file',
      tags: ['storage'],
      summary: 'Download a file',
      security: bearer,
      parameters: [id],
      responses: {
        302: { description: 'To a signed URL', headers: { Location: { schema: { type: 'string' } } } },
        default: problem,
      },
    },
  },
};
