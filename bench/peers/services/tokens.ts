import { type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose';

/** Who asks: what a service knows once it has checked the token. */
export interface Caller {
  token: string;
  claims: JWTPayload;
}

/** @param keys a JWKS. @throws what jose throws for a token that is none */
export function callerReader(keys: string): (authorization: string | undefined) => Promise<Caller> {
  const secrets = new Map<string, Buffer>();
  for (const { kid, k } of JSON.parse(keys).keys) secrets.set(kid, Buffer.from(k, 'base64url'));

  function secretOf({ kid = '' }: JWTHeaderParameters): Buffer {
    const secret = secrets.get(kid);
    if (!secret) throw new Error('no such key');
    return secret;
  }

  return async (authorization) => {
    const token = authorization?.slice('Bearer '.length) ?? '';
    const checks = { algorithms: ['HS256'], issuer: 'rowhouse', audience: 'rowhouse' };
    const { payload } = await jwtVerify(token, secretOf, checks);
    return { token, claims: payload };
  };
}
