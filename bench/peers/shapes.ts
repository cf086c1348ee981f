import type { LoadRequest } from '../load.ts';

/** What is asked: the suffix of the figures' keys, but for `list`, whose keys have none. */
export const SHAPES = ['list', 'by_key', 'embed', 'mixed'] as const;
export type Shape = (typeof SHAPES)[number];

/** How a server is asked. */
export type Dialect = 'postgrest' | 'service' | 'graphql';

/** A tenant, and files of it that are asked for by key. */
export interface Asked {
  id: string;
  headers: Record<string, string>;
  files: readonly string[];
}

const FILE = 'select=id,name,size,status,created_at';
const JOB = 'select=id,type,status,created_at,job_findings(ordinal,rule,severity,message)';
const NEWEST = 'order=created_at.desc,id.desc';
const JSON_BODY = { 'content-type': 'application/json' };

/** Builds one request of each kind, without what says who asks. */
interface Language {
  list(): LoadRequest;
  byKey(tenant: Asked, id: string): LoadRequest;
  embed(): LoadRequest;
  add(name: string): LoadRequest;
}

const get = (path: string, headers: Record<string, string> = {}): LoadRequest => ({ path, headers });
const post = (path: string, body: unknown): LoadRequest => ({
  ...{ method: 'POST', path, headers: JSON_BODY },
  body: JSON.stringify(body),
});
const graphql = (query: string, variables: object = {}) => post('/graphql', { query, variables });

const LANGUAGES: Record<Dialect, Language> = {
  postgrest: {
    list: () => get(`/files?${FILE}&${NEWEST}&limit=20`),
    byKey: (_tenant, id) => get(`/files?${FILE}&id=eq.${id}`, { accept: 'application/vnd.pgrst.object+json' }),
    embed: () =>
      get(`/jobs?${JOB}&status=eq.failed&${NEWEST}&job_findings.order=ordinal.asc&limit=20`, { prefer: 'count=exact' }),
    add: (name) => post('/files', { name, content_type: 'text/csv', size: 1000 }),
  },
  service: {
    list: () => get('/files'),
    byKey: (_tenant, id) => get(`/files/${id}`),
    embed: () => get('/jobs?status=failed'),
    add: (name) => post('/files', { name, content_type: 'text/csv', size: 1000 }),
  },
  graphql: {
    list: () =>
      graphql(
        '{ allFiles(orderBy: [CREATED_AT_DESC, ROW_ID_DESC], first: 20) { nodes { rowId name size status createdAt } } }',
      ),
    byKey: ({ id: tenantId }, rowId) =>
      graphql(
        `query ($tenantId: String!, $rowId: UUID!) {
           fileByTenantIdAndRowId(tenantId: $tenantId, rowId: $rowId) { rowId name size status createdAt } }`,
        { tenantId, rowId },
      ),
    embed: () =>
      graphql(
        `{ allJobs(condition: { status: "failed" }, orderBy: [CREATED_AT_DESC, ROW_ID_DESC], first: 20) {
           totalCount nodes { rowId type status createdAt
             jobFindingsByTenantIdAndJobId(orderBy: [ORDINAL_ASC]) { nodes { ordinal rule severity message } } } } }`,
      ),
    add: (name) =>
      graphql('mutation ($file: FileInput!) { createFile(input: { file: $file }) { file { rowId } } }', {
        file: { name, contentType: 'text/csv', size: '1000' },
      }),
  },
};

const as = ({ headers }: Asked, request: LoadRequest): LoadRequest => ({
  ...request,
  headers: { ...headers, ...request.headers },
});

export const listOf = (dialect: Dialect, tenant: Asked) => as(tenant, LANGUAGES[dialect].list());
export const addTo = (dialect: Dialect, tenant: Asked, name: string) => as(tenant, LANGUAGES[dialect].add(name));

/** The load of a shape. Tenants take turns, so that no side answers out of one warm page. */
export function requestsOf(dialect: Dialect, shape: Shape, asked: readonly Asked[]): LoadRequest[] {
  const language = LANGUAGES[dialect];
  switch (shape) {
    case 'list':
      return asked.map((tenant) => listOf(dialect, tenant));
    case 'by_key':
      return asked.flatMap((tenant) => tenant.files.map((id) => as(tenant, language.byKey(tenant, id))));
    case 'embed':
      return asked.map((tenant) => as(tenant, language.embed()));
    case 'mixed':
      // Nine tenants list, the tenth adds; the next ten begin one further.
      return Array.from({ length: 10 * asked.length }, (_, nth) => {
        const tenant = asked[(nth + Math.floor(nth / 10)) % asked.length] as Asked;
        return nth % 10 === 9 ? addTo(dialect, tenant, 'added.csv') : listOf(dialect, tenant);
      });
  }
}
