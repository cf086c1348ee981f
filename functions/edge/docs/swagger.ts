/** PostgREST describes a schema, as the caller's role sees it, in Swagger 2.0. Here that becomes OpenAPI 3.1. */

export type Json = Record<string, unknown>;

interface Parameter extends Json {
  in: 'query' | 'header' | 'body';
  name: string;
  required?: boolean;
  description?: string;
  schema?: Json;
}

interface Operation extends Json {
  tags?: string[];
  parameters?: (Parameter | { $ref: string })[];
  responses: Record<string, { description: string; schema?: Json }>;
}

export interface Swagger {
  info: { title: string; description?: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  definitions?: Record<string, Json>;
  parameters?: Record<string, Parameter>;
}

/** PostgreSQL's types are not formats of JSON Schema; these have one. */
const FORMATS: Record<string, string> = {
  uuid: 'uuid',
  date: 'date',
  integer: 'int32',
  bigint: 'int64',
  'double precision': 'double',
  real: 'float',
  'timestamp with time zone': 'date-time',
};

const KEY_NOTE = /\n*Note:\nThis is a (Primary Key\.|Foreign Key to `[^`]*`\.)<[^>]*>/g;

/** Component names may have these characters alone (OpenAPI 3.1, 4.8.7.1). */
const componentName = (name: string) => name.replaceAll(/[^\w.-]/g, '_');

const reference = (ref: unknown) => `#/components/schemas/${componentName(String(ref).split('/').at(-1) ?? '')}`;

/** A schema of Swagger 2.0 as one of JSON Schema 2020-12. */
export function schemaOf(schema: Json): Json {
  if (schema.$ref !== undefined) return { $ref: reference(schema.$ref) };
  const { type, format, items, properties, description, default: preset } = schema;
  const known = FORMATS[String(format)];
  return {
    ...(type === undefined ? {} : { type }),
    ...(known ? { format: known } : {}),
    ...(typeof description === 'string' && description !== ''
      ? { description: description.replaceAll(KEY_NOTE, '\n\n$1').trim() }
      : {}),
    ...(schema.enum === undefined ? {} : { enum: schema.enum }),
    ...(preset === undefined ? {} : { default: preset }),
    ...(schema.maxLength === undefined ? {} : { maxLength: schema.maxLength }),
    ...(schema.required === undefined ? {} : { required: schema.required }),
    ...(items === undefined ? {} : { items: schemaOf(items as Json) }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties as Record<string, Json>).map(([name, property]) => [name, schemaOf(property)]),
          ),
        }),
  };
}

/** A column in the query is a filter, not a value; a Prefer header may name several preferences. */
function parameterOf({ name, in: place, required, description, ...rest }: Parameter, isFilter: boolean): Json {
  const about = { name, in: place, required: required ?? false };
  if (isFilter)
    return { ...about, description: 'A filter, such as `eq.1` or `not.is.null`.', schema: { type: 'string' } };
  if (name === 'Prefer') {
    // It offers count=none, which does not exist; of the others, this API answers exact ones alone.
    const examples = (rest.enum as string[]).map((preference) => preference.replace('count=none', 'count=exact'));
    return { ...about, description: 'Preferences, separated by commas.', schema: { type: 'string', examples } };
  }
  return { ...about, ...(description ? { description } : {}), schema: schemaOf(rest) };
}

const JSON_OR_CSV = (rows: Json) => ({
  'application/json': { schema: { type: 'array', items: rows } },
  'text/csv': { schema: { type: 'string' } },
});

function bodyOf({ schema = {}, required }: Parameter, isCall: boolean): Json {
  const one = schemaOf(schema);
  const content = isCall
    ? { 'application/json': { schema: one } }
    : {
        'application/json': { schema: { oneOf: [one, { type: 'array', items: one }] } },
        'text/csv': { schema: { type: 'string' } },
      };
  return { required: required ?? false, content };
}

/** What a request with `Prefer: return=representation` gets, which PostgREST's description leaves out. */
function responsesOf(method: string, { responses }: Operation, row: Json | undefined): Json {
  const converted = Object.entries(responses).map(([status, { description, schema }]) => {
    const hasRows = (status === '200' || status === '206') && method === 'get' && row;
    if (hasRows || (status === '201' && row)) return [status, { description, content: JSON_OR_CSV(row) }];
    return [
      status,
      { description, ...(schema ? { content: { 'application/json': { schema: schemaOf(schema) } } } : {}) },
    ];
  });
  const changed = row && (method === 'patch' || method === 'delete');
  return {
    ...Object.fromEntries(converted),
    ...(changed ? { 200: { description: 'The rows, if asked for.', content: JSON_OR_CSV(row) } } : {}),
    default: { $ref: '#/components/responses/Problem' },
  };
}

function operationOf(path: string, method: string, operation: Operation, swagger: Swagger): Json {
  const { tags, parameters = [], ...rest } = operation;
  const isCall = path.startsWith('/rpc/');
  const relation = path.slice(1);
  const row = !isCall && swagger.definitions?.[relation] ? { $ref: reference(relation) } : undefined;
  const given: Json[] = [];
  let body: Parameter | undefined;
  for (const entry of parameters) {
    const key = '$ref' in entry ? String(entry.$ref).slice('#/parameters/'.length) : '';
    const parameter = '$ref' in entry ? swagger.parameters?.[key] : (entry as Parameter);
    if (parameter?.in === 'body') body = parameter;
    else if (parameter) given.push(parameterOf(parameter, key.startsWith('rowFilter.')));
  }
  if (method !== 'get') given.push({ $ref: '#/components/parameters/IdempotencyKey' });
  delete rest.produces;
  delete rest.consumes;
  return {
    ...rest,
    operationId: `${method}${path.replaceAll(/[^A-Za-z0-9]+/g, '_')}`,
    tags: isCall ? ['functions'] : tags,
    parameters: given,
    ...(body ? { requestBody: bodyOf(body, isCall) } : {}),
    responses: responsesOf(method, operation, row),
    security: [{ bearer: [] }],
  };
}

/** The paths behind `prefix`, and the schemas that they name. */
export function convert(swagger: Swagger, prefix: string): { paths: Json; schemas: Json } {
  const paths: Json = {};
  for (const [path, operations] of Object.entries(swagger.paths)) {
    if (path === '/') continue;
    paths[prefix + path] = Object.fromEntries(
      Object.entries(operations).map(([method, operation]) => [method, operationOf(path, method, operation, swagger)]),
    );
  }
  const schemas = Object.fromEntries(
    Object.entries(swagger.definitions ?? {}).map(([name, schema]) => [componentName(name), schemaOf(schema)]),
  );
  return { paths, schemas };
}
