import pg from 'pg';
import { fromDatabase, RowhouseError } from '../errors.ts';
import { type Claims, decodeClaims, type GateCheck, gateChecks } from './gate.ts';
import type { ApiRequest } from './request.ts';

export interface ExplainedGrant {
  on: string;
  verb: string;
  granted: boolean;
  columns?: string[] | null;
  refused_columns?: string[];
}

export interface ExplainedPolicy {
  /** null: row-level security is on, and no policy is for this role and verb. */
  policy: string | null;
  kind: 'permissive' | 'restrictive';
  verb: string;
  using?: string | null;
  using_passes?: boolean | null;
  check?: string | null;
  check_passes?: boolean | null;
  passes: boolean | null;
}

/** What metering.own_limits() answers. */
export interface ExplainedLimits {
  rates: Record<string, { rate: number; burst: number }>;
  shadow: boolean;
  concurrency: number;
  statement_timeout_ms: number;
}

/** What tenancy.explain_access() answers. */
export interface Access {
  context: Record<string, string | null>;
  grants: ExplainedGrant[];
  row: { found: boolean; sentence: string } | null;
  policies: ExplainedPolicy[];
  /** Of the caller's tenant, as the edge keeps to them; an operator has none. */
  limits?: ExplainedLimits;
  /** What is left of each rate. Not in the answers of the API: there, each carries a RateLimit field. */
  left?: Record<string, number>;
  /** null: it depends on a row that was not named. */
  allowed: boolean | null;
  summary: string;
  next: string;
}

export interface Explanation extends Omit<Access, 'context'> {
  request: ApiRequest;
  claims: Claims | null;
  /** Whether the gate vouches for the claims: unless it does, anybody may have written them. */
  claims_verified: boolean;
  gate: GateCheck[];
  context: Access['context'] | null;
}

const NOTHING = { context: null, grants: [], row: null, policies: [] };

async function enter(client: pg.Client, token: string): Promise<unknown> {
  try {
    await client.query('select auth.enter($1)', [token]);
    return undefined;
  } catch (error) {
    const refusal = fromDatabase(error);
    // The login may not even call the gate: that is about who asks, not about the token.
    if (refusal instanceof RowhouseError && refusal.code === 'permission_denied')
      throw wrongLogin('call the gate', error);
    return refusal;
  }
}

/**
 * Why a request is allowed, refused or empty. Works as the token's role in a read-only transaction sealed for its tenant, and
 * rolls it back: nothing is examined that the token itself could not read.
 * @param databaseUrl of a login that may call the gate and take the role, such as authenticator
 * @throws RowhouseError permission_denied for another login; what PostgreSQL raises otherwise
 */
export async function explainRequest(databaseUrl: string, token: string, request: ApiRequest): Promise<Explanation> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'rowhouse explain',
    connectionTimeoutMillis: 5000,
  });
  client.on('error', () => {}); // The query under way reports a lost connection.
  try {
    await client.connect();
    await client.query('begin read only');
    const { rows: clock } = await client.query<{ now: number }>('select extract(epoch from now())::float8 as now');
    const claims = decodeClaims(token);
    const refusal = await enter(client, token);
    const gate = gateChecks(refusal, claims, clock[0]?.now ?? 0);
    const signed = gate.find(({ check }) => check === 'signature')?.passed === true;
    const told = { request, claims: claims ?? null, claims_verified: signed, gate };
    const failed = gate.find(({ passed }) => passed === false);
    if (failed) {
      const [what, next] = failed.sentence.split(/: (?=[^:]*$)/);
      return {
        ...told,
        ...NOTHING,
        allowed: false,
        summary: `${failed.check}: ${what}`,
        next: next ?? 'get a new token',
      };
    }
    const role = claims?.role ?? '';
    if (role !== 'tenant_user' && role !== 'operator') {
      const summary = `the role ${role} is a service's: the HTTP API refuses its tokens`;
      return { ...told, ...NOTHING, allowed: false, summary, next: "use a member's token: rowhouse token" };
    }
    await takeRole(client, role);
    const { rows } = await client.query<{ access: Access }>('select tenancy.explain_access($1, $2, $3, $4) as access', [
      request.method,
      request.relation,
      json(request.rowKey),
      json(request.body),
    ]);
    if (!rows[0]) throw new Error('tenancy.explain_access() answered nothing');
    const left = role === 'tenant_user' ? await bucketsOf(client) : {};
    return { ...told, ...rows[0].access, ...left, request };
  } finally {
    await client.query('rollback').catch(() => {});
    await client.end().catch(() => {});
  }
}

async function bucketsOf(client: pg.Client): Promise<{ left: Record<string, number> }> {
  const { rows } = await client.query<{ left: Record<string, number> }>('select metering.own_buckets() as left');
  return { left: rows[0]?.left ?? {} };
}

const json = (value: unknown) => (value === null ? null : JSON.stringify(value));

async function takeRole(client: pg.Client, role: string): Promise<void> {
  try {
    await client.query("select set_config('role', $1, true)", [role]);
  } catch (cause) {
    throw wrongLogin(`become ${role}`, cause);
  }
}

function wrongLogin(deed: string, cause: unknown): RowhouseError {
  return new RowhouseError('permission_denied', {
    detail: `this login may not ${deed}, so it cannot see what the token sees`,
    hint: 'Connect as authenticator: --database postgres://authenticator:…@host/database',
    cause,
  });
}
