import { createHash } from 'node:crypto';
import { fastify } from 'fastify';
import { compressed, type Encoding } from '../front-door/compression.ts';

/** What /docs is made of. */
export interface Reference {
  page: Buffer;
  /** In each of its forms: 4 MB are half a second of work to pack, which is not for every stranger to ask for. */
  script: Record<Encoding | 'identity', Buffer>;
  scriptTag: string;
  /** Of the page's own script, for its Content-Security-Policy. */
  inlineHash: string;
}

declare const location: { hash: string; pathname: string };
declare const history: { replaceState(state: null, unused: string, url: string): void };
declare const sessionStorage: { getItem(name: string): string | null; setItem(name: string, value: string): void };

/** Runs in the browser: asks for the document as the bearer of the token in `/docs/#token=…`, which no server gets to see. */
const fetchAsBearer = (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
  const given = /[#&]token=([\w.-]+)/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem('rowhouse-token', given);
    // Not to stay in the address bar; Scalar, which keeps its place there, would put it back until it has started.
    setTimeout(() => history.replaceState(null, '', location.pathname), 1000);
  }
  const token = sessionStorage.getItem('rowhouse-token');
  const isDocument = String(input instanceof Request ? input.url : input).endsWith('/openapi.json');
  return fetch(input, token && isDocument ? { ...init, headers: { authorization: `Bearer ${token}` } } : init);
};

const tagOf = (text: string) => createHash('sha256').update(text).digest('base64');

/**
 * Scalar's reference of /openapi.json, rendered once, when first asked for: its script is 4 MB, which an edge that nobody reads the
 * documents of does not load.
 */
export async function renderReference(): Promise<Reference> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const press = fastify();
  await press.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      pageTitle: 'Rowhouse API',
      customFetch: fetchAsBearer,
      // Nothing is loaded from, or told to, anybody else.
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true,
      showDeveloperTools: 'never',
      agent: { disabled: true },
      mcp: { disabled: true },
      authentication: { preferredSecurityScheme: 'bearer' },
    },
  });
  const [page, script] = await Promise.all(
    ['/docs/', '/docs/js/scalar.js'].map(async (url) => (await press.inject(url)).body),
  );
  await press.close();
  if (page === undefined || script === undefined) throw new Error('the reference has no page or no script');
  const inline = [...page.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(([, text = '']) => text);
  if (inline.length !== 1) throw new Error(`the reference has ${inline.length} scripts in its page, not one`);
  const identity = Buffer.from(script);
  const [br, gzip] = await Promise.all([compressed('br', identity), compressed('gzip', identity)]);
  return {
    page: Buffer.from(page),
    script: { identity, br, gzip },
    scriptTag: `"${tagOf(script)}"`,
    inlineHash: tagOf(inline[0] ?? ''),
  };
}
