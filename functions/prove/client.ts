import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { RowhouseError } from '../errors.ts';
import type { Answer, Call, ProveTarget } from './types.ts';

/** As many requests under way as the machine gains from. */
export const CONCURRENCY = 12;
const RETRIES = 30;

export interface HttpClient {
  ask(call: Call): Promise<Answer>;
  /** The request as a line for a shell, its token as a variable. */
  curl(call: Call): string;
  close(): Promise<void>;
}

type Tokens = ReadonlyMap<string, string>;

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Over kept-alive connections. Headers of a call come last, so that they can replace what is sent otherwise. */
export function createClient(target: ProveTarget & { schemas: string[] }, tokens: Tokens): HttpClient {
  const pools = new Map<string, Pool>();
  const poolOf = (url: string) => {
    const { origin } = new URL(url);
    const pool =
      pools.get(origin) ??
      new Pool(origin, { connections: CONCURRENCY, pipelining: 1, bodyTimeout: 20_000, headersTimeout: 20_000 });
    pools.set(origin, pool);
    return pool;
  };

  function place(call: Call): { base: string; path: string; headers: Record<string, string> } {
    const headers: Record<string, string> = {};
    if (call.body !== undefined) headers['content-type'] = 'application/json';
    if (call.door === 'edge') {
      const prefix = call.schema === target.schemas[0] ? `/${call.schema}` : `/${call.schema}/v1`;
      return { base: target.edge ?? '', path: prefix + call.path, headers: { ...headers, ...call.headers } };
    }
    if (call.schema !== target.schemas[0]) {
      headers[call.method === 'GET' || call.method === 'HEAD' ? 'accept-profile' : 'content-profile'] = call.schema;
    }
    return { base: target.postgrest, path: call.path, headers: { ...headers, ...call.headers } };
  }

  const tokenOf = (name: string): string => {
    const token = tokens.get(name);
    if (token === undefined) throw new RowhouseError('internal', { detail: `no token ${name} was made` });
    return token;
  };

  const bodyOf = ({ body }: Call) =>
    body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);

  return {
    async ask(call) {
      const { base, path, headers } = place(call);
      if (call.token !== null && headers.authorization === undefined)
        headers.authorization = `Bearer ${tokenOf(call.token)}`;
      try {
        const prefix = new URL(base).pathname.replace(/\/$/, '');
        const ask = { path: prefix + path, method: call.method as 'GET', headers, body: bodyOf(call) ?? null };
        for (let waited = 0; ; waited++) {
          const response = await poolOf(base).request(ask);
          const body = await response.body.text();
          const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
          const answer: Answer = { status: response.statusCode, headers: Object.fromEntries(flat), body };
          const retryAfter = Number(answer.headers['retry-after']);
          // An edge that slows its clients down has not answered yet.
          if (answer.status !== 429 || !(retryAfter > 0) || waited === RETRIES) return answer;
          await delay(Math.min(retryAfter, 2) * 1000);
        }
      } catch (error) {
        throw new RowhouseError('upstream_unavailable', {
          detail: `${call.method} ${base}${path}: ${(error as Error).message}`,
          hint: 'The API went away while it was being proved.',
          cause: error,
        });
      }
    },
    curl(call) {
      const { base, path, headers } = place(call);
      const parts = [
        'curl -i',
        call.method === 'GET' ? '' : call.method === 'HEAD' ? '-I' : `-X ${call.method}`,
        quote(base.replace(/\/$/, '') + path),
      ];
      if (call.token !== null && headers.authorization === undefined)
        parts.push(`-H "Authorization: Bearer $${call.token.replace(/[^\w]/g, '_')}"`);
      for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quote(`${name}: ${value}`)}`);
      const body = bodyOf(call);
      if (body !== undefined) parts.push(`-d ${quote(body)}`);
      return parts.filter((part) => part !== '').join(' ');
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}
