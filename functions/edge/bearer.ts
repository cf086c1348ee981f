import type { FastifyRequest } from 'fastify';
import { RowhouseError } from '../errors.ts';

/**
 * The token of a request; whether it is any good is for the database to say.
 * @throws RowhouseError token_required, token_invalid
 */
export function bearerToken({ headers }: FastifyRequest): string {
  const { authorization } = headers;
  if (authorization === undefined) {
    throw new RowhouseError('token_required', { hint: 'Send an Authorization header: Bearer <token>' });
  }
  const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw new RowhouseError('token_invalid', { detail: 'Not a bearer token.' });
  return token;
}
