import { ERRORS, type ErrorCode } from '../../errors.ts';
import { EDGE_PATHS } from './routes.ts';
import { convert, type Json, type Swagger } from './swagger.ts';

/** Raised by programs, never answered over HTTP. */
const UNSERVED = new Set<ErrorCode>([
  'lease_lost',
  'job_input_invalid',
  'job_result_too_large',
  'webhook_secret_unreadable',
  'book_invalid',
  'migration_invalid',
  'migration_failed',
  'usage_invalid',
  'schema_missing',
  'database_not_disposable',
  'config_invalid',
  'server_version_unsafe',
  'binary_missing',
  'stack_missing',
  'demo_failed',
  'dataset_missing',
  'stack_running',
  'stack_failed',
]);

const codes = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !UNSERVED.has(code));

const problemSchema: Json = {
  type: 'object',
  description: "RFC 9457, with the members that PostgREST's clients read. Match on `code`; texts may change.",
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'message', 'details', 'hint'],
  properties: {
    type: { type: 'string', format: 'uri', examples: ['https://rowhouse.dev/errors/tenant_suspended'] },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string' },
    instance: { type: 'string', description: 'The path of the request.' },
    code: {
      anyOf: [{ enum: codes }, { type: 'string', pattern: '^PGRST', description: "One of PostgREST's." }],
      description: codes.map((code) => `- \`${code}\` (${ERRORS[code][0]}): ${ERRORS[code][1]}`).join('\n'),
    },
    message: { type: 'string' },
    details: {},
    hint: {},
  },
};

const components = {
  securitySchemes: {
    bearer: {
      type: 'http',
      scheme: 'bearer',
      description: 'A token of POST /auth/v1/token, or an API key (`rh_live_…`).',
    },
  },
  parameters: {
    IdempotencyKey: {
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description:
        'A random UUID: the same request sent again with it within 24 hours gets the first answer, and is not carried out again.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  },
  responses: {
    Problem: {
      description: 'What went wrong',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    },
  },
};

/** OpenAPI 3.1 of the edge's own routes and of what PostgREST says that the caller sees, if there is a caller. */
export function documentOf(seen?: { swagger: Swagger; prefix: string }): Json {
  const { paths, schemas } = seen ? convert(seen.swagger, seen.prefix) : { paths: {}, schemas: {} };
  const description = seen?.swagger.info.description ?? "Send a bearer token to see your tenant's API.";
  return {
    openapi: '3.1.0',
    info: { title: seen?.swagger.info.title ?? 'Rowhouse API', version: '1', description },
    servers: [{ url: '/' }],
    paths: { ...paths, ...EDGE_PATHS },
    components: { ...components, schemas: { ...schemas, Problem: problemSchema } },
  };
}
