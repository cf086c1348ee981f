import { until } from '../../functions/stack/until.ts';
import { type HttpResponse, http } from '../support/http.ts';
import type { TestStack } from '../support/stack.ts';

/** The webhooks API of one tenant, as a client uses it. */

export interface Endpoint {
  id: string;
  secret: string;
  event_types: string[];
  url: string;
  enabled: boolean;
  headers: Record<string, null>;
  disabled_reason: string | null;
  disabled_at: string | null;
  public_keys: string[];
  health: {
    circuit: string;
    paused_until: string | null;
    failing_since: string | null;
    failures: number;
    last_error: string | null;
  };
}

export interface Delivery {
  endpoint_id: string;
  position: number;
  event_id: string;
  status: string;
  attempts: number;
  status_code: number | null;
  error: string | null;
  response: string | null;
  next_attempt_at: string | null;
}

export interface Attempt {
  attempt: number;
  status: string;
  status_code: number | null;
  error: string | null;
  latency_ms: number;
  response: string | null;
}

export interface Problem {
  code: string;
  details: string | null;
  hint: string | null;
}

export function webhooksOf(api: string, token: string) {
  const call = <Body>(name: string, body: object) => http<Body>(`${api}/rpc/${name}`, { token, body });
  const list = async <Row>(path: string) => (await http<Row[]>(`${api}/${path}`, { token })).body;

  async function answered<Body>(response: Promise<HttpResponse<Body>>): Promise<Body> {
    const { status, body } = await response;
    if (status !== 200) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  return {
    call,
    create: (fields: object) => answered(call<Endpoint>('create_webhook_endpoint', fields)),
    async endpoint(id: string): Promise<Endpoint> {
      const [endpoint] = await list<Endpoint>(`webhook_endpoints?id=eq.${id}`);
      if (!endpoint) throw new Error(`no endpoint ${id} is visible to this token`);
      return endpoint;
    },
    change: <Body = Endpoint[]>(id: string, fields: object) =>
      http<Body>(`${api}/webhook_endpoints?id=eq.${id}`, {
        method: 'PATCH',
        token,
        headers: { prefer: 'return=representation' },
        body: fields,
      }),
    emit: (type: string, subject: string, data: object) => answered(call('emit_event', { type, subject, data })),
    deliveries: (endpoint: string) => list<Delivery>(`webhook_deliveries?endpoint_id=eq.${endpoint}&order=position`),
    attempts: (endpoint: string, position: number) =>
      list<Attempt>(`webhook_attempts?endpoint_id=eq.${endpoint}&position=eq.${position}&order=attempt`),
    blockedKeys: (endpoint: string) =>
      list<{ subject: string | null; position: number; waiting: number }>(
        `webhook_blocked_keys?endpoint_id=eq.${endpoint}`,
      ),
    /** The deliveries of an endpoint as soon as all of them are what they should be. */
    async settled(endpoint: string, is: (deliveries: Delivery[]) => boolean, timeoutMs = 15_000): Promise<Delivery[]> {
      let last: Delivery[] = [];
      const settled = await until(
        async () => {
          last = await this.deliveries(endpoint);
          return is(last);
        },
        { timeoutMs, intervalMs: 100 },
      );
      if (!settled) throw new Error(`the deliveries are ${JSON.stringify(last)}`);
      return last;
    },
  };
}

export type Webhooks = ReturnType<typeof webhooksOf>;

/** A token's worth of webhooks for each of the tenants. */
export async function webhooks(
  stack: TestStack,
  tenant: string,
  role: 'owner' | 'admin' | 'member' | 'viewer' = 'admin',
) {
  return webhooksOf(stack.postgrest, await stack.token({ tenant, role }));
}

export const WORKER_ENV = {
  WEBHOOK_ALLOW_HTTP: 'true',
  WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
};
