import type { FastifyRequest } from 'fastify';
import { RowhouseError } from '../errors.ts';

/** The sealed token of an API key, for where it is used from. */
export type ExchangeApiKey = (key: string, address: string) => string | Promise<string>;

/**
 * The token of a request, or that of the API key in its place; whether it is any good is for the database to say.
 * @throws RowhouseError token_required, token_invalid, and what the exchange raises
 */
export async function bearerToken({ headers, ip }: FastifyRequest, exchangeApiKey: ExchangeApiKey): Promise<string> {
  const { authorization } = headers;
  if (authorization === undefined) {
    throw new RowhouseError('token_required', { hint: 'Send an Authorization header: Bearer <token>' });
  }
  const credential = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+|rh_live_\w+)$/i.exec(authorization)?.[1];
  if (credential === undefined) throw new RowhouseError('token_invalid', { detail: 'Not a bearer token.' });
  return credential.startsWith('rh_live_') ? exchangeApiKey(credential, ip) : credential;
}
