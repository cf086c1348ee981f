import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { RowhouseError } from '../errors.ts';
import type { GetTerms, PutTerms } from './driver.ts';

/** Signed URLs of the fs driver: every term of the request is in the query and under one HMAC-SHA256. */

type Parameters = Record<string, string>;

function seconds(date: Date): string {
  return String(Math.floor(date.getTime() / 1000));
}

/** JSON keeps the fields apart: no two different requests have the same text. */
function sign(secret: string, method: string, key: string, parameters: Parameters): string {
  const fields = Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHmac('sha256', secret)
    .update(JSON.stringify(['rowhouse-url-1', method, key, fields]))
    .digest('base64url');
}

function query(secret: string, method: 'PUT' | 'GET', key: string, parameters: Parameters): string {
  return new URLSearchParams({ ...parameters, signature: sign(secret, method, key, parameters) }).toString();
}

export function putQuery(secret: string, terms: PutTerms): string {
  return query(secret, 'PUT', terms.key, {
    expires: seconds(terms.expiresAt),
    length: String(terms.contentLength),
    type: terms.contentType,
    ...(terms.sha256 === undefined ? {} : { sha256: terms.sha256 }),
  });
}

export function getQuery(secret: string, terms: GetTerms): string {
  return query(secret, 'GET', terms.key, {
    expires: seconds(terms.expiresAt),
    type: terms.contentType,
    name: terms.downloadName,
    ...(terms.sha256 === undefined ? {} : { sha256: terms.sha256 }),
  });
}

function equal(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** @throws RowhouseError signature_invalid, signature_expired */
function verify(secret: string, method: 'PUT' | 'GET', key: string, search: URLSearchParams): Parameters {
  const { signature = '', ...parameters } = Object.fromEntries(search);
  if (!equal(signature, sign(secret, method, key, parameters))) {
    throw new RowhouseError('signature_invalid', { hint: 'Use the URL exactly as it was given, with its own method.' });
  }
  const expiresAt = Number(parameters.expires) * 1000;
  if (expiresAt <= Date.now()) throw new RowhouseError('signature_expired', { hint: 'Ask for a new URL.' });
  return { ...parameters, expires: String(expiresAt) };
}

/** @throws RowhouseError signature_invalid, signature_expired */
export function verifyPut(secret: string, key: string, search: URLSearchParams): PutTerms {
  const { expires, length, type = '', sha256 } = verify(secret, 'PUT', key, search);
  const terms = { key, contentLength: Number(length), contentType: type, expiresAt: new Date(Number(expires)) };
  return sha256 === undefined ? terms : { ...terms, sha256 };
}

/** @throws RowhouseError signature_invalid, signature_expired */
export function verifyGet(secret: string, key: string, search: URLSearchParams): GetTerms {
  const { expires, name = '', type = '', sha256 } = verify(secret, 'GET', key, search);
  const terms = { key, downloadName: name, contentType: type, expiresAt: new Date(Number(expires)) };
  return sha256 === undefined ? terms : { ...terms, sha256 };
}
