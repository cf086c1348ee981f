import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA';

/** An OpenID provider of one process: its keys, its discovery document, and tokens that it signs. */
export interface TestIssuer {
  url: string;
  /** How often its keys were fetched. */
  fetches(): number;
  /** Signs with a new key from now on; keys before it are published no longer. */
  rotate(algorithm?: Algorithm): Promise<void>;
  /** How often it was asked for anything. */
  asked(): number;
  /** While true, it answers with 500; to a path alone, where it is one. */
  fail(failing: boolean | string): void;
  sign(claims: JWTPayload, header?: { alg?: string; kid?: string }): Promise<string>;
  publicKey(): JWK;
  close(): Promise<void>;
}

export async function startIssuer(): Promise<TestIssuer> {
  let fetches = 0;
  let asked = 0;
  let failing: boolean | string = false;
  let nth = 0;
  let current: { kid: string; alg: Algorithm; privateKey: CryptoKey; jwk: JWK };

  const server = createServer((request, response) => {
    asked++;
    if (failing === true || failing === request.url) return void response.writeHead(500).end();
    const documents: Record<string, () => object> = {
      '/.well-known/openid-configuration': () => ({ issuer: url, jwks_uri: `${url}/keys` }),
      '/keys': () => {
        fetches++;
        return { keys: [current.jwk] };
      },
    };
    const document = documents[request.url ?? ''];
    response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(document?.() ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function rotate(alg: Algorithm = 'ES256'): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `key-${++nth}`;
    current = { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
  }
  await rotate();

  return {
    url,
    rotate,
    fetches: () => fetches,
    asked: () => asked,
    fail: (value) => {
      failing = value;
    },
    publicKey: () => current.jwk,
    sign: (claims, header) =>
      new SignJWT({ iss: url, aud: 'rowhouse-app', exp: Math.floor(Date.now() / 1000) + 300, ...claims })
        .setProtectedHeader({ alg: current.alg, kid: current.kid, ...header })
        .sign(current.privateKey),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
