export interface HttpResponse<Body = unknown> {
  status: number;
  headers: Headers;
  /** Parsed where the answer is JSON, else text; null where there is none. */
  body: Body;
}

export interface HttpOptions {
  method?: string;
  token?: string;
  headers?: Record<string, string>;
  /** A string or bytes are sent as they are; anything else as JSON. */
  body?: unknown;
}

/** One request; redirects are answers, not followed. `Body` is what the test expects the answer to be. */
export async function http<Body = unknown>(url: string, options: HttpOptions = {}): Promise<HttpResponse<Body>> {
  const headers = new Headers(options.headers);
  if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`);
  const raw = typeof options.body === 'string' || options.body instanceof Uint8Array;
  if (options.body !== undefined && !raw && !headers.has('content-type'))
    headers.set('content-type', 'application/json');
  const response = await fetch(url, {
    method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
    headers,
    redirect: 'manual',
    ...(options.body === undefined ? {} : { body: raw ? (options.body as string) : JSON.stringify(options.body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: parse(response.headers, text) as Body };
}

function parse(headers: Headers, text: string): unknown {
  if (text === '') return null;
  return /\bjson\b/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : text;
}
