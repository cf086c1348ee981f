import { RowhouseError } from '../../errors.ts';

export interface Answer {
  status: number;
  headers: Headers;
  body: unknown;
}

/** What one tenant sees of the API: every request carries its token. */
export function tenantClient(edge: string, token: string) {
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const url = new URL(path, edge);
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        redirect: 'manual',
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new RowhouseError('upstream_unavailable', {
        detail: `${url.origin} does not answer`,
        hint: 'Start it with: npm start',
        cause,
      });
    }
    const text = await response.text();
    const json = /\bjson\b/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, body: json && text ? JSON.parse(text) : text };
  };
  return {
    get: (path: string) => send('GET', path),
    post: (path: string, body: unknown, headers?: Record<string, string>) => send('POST', path, body, headers),
  };
}

export type TenantClient = ReturnType<typeof tenantClient>;

/**
 * The body of an answer that has to have this status.
 * @throws RowhouseError demo_failed
 */
export function expectStatus<T>(answer: Answer, status: number, step: string): T {
  if (answer.status === status) return answer.body as T;
  throw new RowhouseError('demo_failed', {
    detail: `${step}: expected ${status}, got ${answer.status} ${JSON.stringify(answer.body).slice(0, 400)}`,
    hint: 'The logs of every process are in .rowhouse/logs.',
  });
}
