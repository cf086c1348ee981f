import type { FastifyInstance } from 'fastify';
import { RowhouseError } from '../../errors.ts';

/** What a client of an OAuth endpoint sent. A name that is not there is undefined; RFC 6749 says that an empty value is none. */
export type Parameters = Record<string, string | undefined>;

const refuse = (detail: string) => new RowhouseError('request_invalid', { detail });

function collect(pairs: Iterable<[string, unknown]>): Parameters {
  const parameters: Parameters = Object.create(null);
  for (const [name, value] of pairs) {
    if (typeof value !== 'string') throw refuse(`${name.slice(0, 40)} is not a string.`);
    // RFC 6749, 3.2. Of two tenants, one would be checked and the other might be used.
    if (name in parameters) throw refuse(`${name.slice(0, 40)} is given more than once.`);
    parameters[name] = value === '' ? undefined : value;
  }
  return parameters;
}

/** Lets a scope read forms, as RFC 6749 asks for, beside JSON. */
export function acceptForms(scope: FastifyInstance): void {
  scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, collect(new URLSearchParams(String(body))));
    } catch (error) {
      done(error as Error);
    }
  });
}

/**
 * The parameters of a form or of a JSON object of strings.
 * @throws RowhouseError request_invalid
 */
export function parametersOf(body: unknown): Parameters {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw refuse('The body is neither a form nor a JSON object.');
  }
  // A form has been collected already.
  return Object.getPrototypeOf(body) === null ? (body as Parameters) : collect(Object.entries(body));
}

/** @throws RowhouseError request_invalid where it is missing */
export function required(parameters: Parameters, name: string): string {
  const value = parameters[name];
  if (value === undefined) throw refuse(`${name} is missing.`);
  return value;
}
