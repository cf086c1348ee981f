import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { contentDisposition } from '../storage/disposition.ts';
import { type FsStorage, OBJECTS_PATH } from '../storage/fs.ts';
import { parseObjectKey } from '../storage/key.ts';
import { markStored, readPendingUpload } from './files.ts';
import { parseRange } from './range.ts';
import { pathOf } from './reply.ts';

/** The signed URLs of the fs driver. The signature is checked before a byte of the body is read. */

/** The key and the query as they were sent: a key has no character that needs an escape. */
function readTarget(request: FastifyRequest): { key: string; search: URLSearchParams } {
  const path = pathOf(request);
  const key = path.startsWith(OBJECTS_PATH) ? path.slice(OBJECTS_PATH.length) : '';
  parseObjectKey(key);
  const query = (request.raw.url ?? '').slice(path.length + 1);
  return { key, search: new URLSearchParams(query) };
}

function checkHeaders({ headers }: FastifyRequest, contentLength: number, contentType: string): void {
  if (headers['content-type'] !== contentType) {
    throw new RowhouseError('signature_invalid', { detail: 'The Content-Type is not the one that was signed.' });
  }
  const length = headers['content-length'];
  if (length === undefined) {
    throw new RowhouseError('request_invalid', { detail: 'A Content-Length is required.' });
  }
  if (Number(length) === contentLength) return;
  const code = Number(length) > contentLength ? 'upload_too_large' : 'upload_too_short';
  throw new RowhouseError(code, { detail: `${contentLength} bytes were announced, the request has ${length}.` });
}

async function putObject(pool: Pool, storage: FsStorage, request: FastifyRequest, reply: FastifyReply) {
  const { key, search } = readTarget(request);
  const { contentLength, contentType } = storage.verifyPut(key, search);
  checkHeaders(request, contentLength, contentType);
  const { id, sha256 } = await readPendingUpload(pool, key);
  // Not destroyed when the body is refused: the answer goes out on the same connection.
  const body = request.raw.iterator({ destroyOnReturn: false });
  const terms = { expectedSize: contentLength, ...(sha256 ? { expectedSha256: sha256 } : {}) };
  const staged = await storage.stage(key, body, terms);
  try {
    await markStored(pool, key, staged, staged.publish);
  } finally {
    await staged.discard();
  }
  return reply.code(201).send({ id, size: staged.size, sha256: staged.sha256, status: 'stored' });
}

async function getObject(storage: FsStorage, request: FastifyRequest, reply: FastifyReply) {
  const { key, search } = readTarget(request);
  const { contentType, downloadName, sha256 } = storage.verifyGet(key, search);
  const found = await storage.stat(key);
  if (!found) throw new RowhouseError('file_not_found');
  const etag = sha256 === undefined ? undefined : `"${sha256}"`;
  if (etag) reply.header('etag', etag);
  reply.headers({
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-store',
    'content-disposition': contentDisposition(downloadName),
    // The bytes are a tenant's: a browser must neither guess their type nor run them in our origin.
    'content-security-policy': "default-src 'none'; sandbox",
    'content-type': contentType,
  });
  if (etag && request.headers['if-none-match'] === etag) return reply.code(304).send();
  const ifRange = request.headers['if-range'];
  const wanted = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = parseRange(wanted, found.size);
  const { start, end } = range ?? { start: 0, end: found.size - 1 };
  if (range) reply.code(206).header('content-range', `bytes ${start}-${end}/${found.size}`);
  reply.header('content-length', end - start + 1);
  return reply.send(request.method === 'HEAD' ? undefined : await storage.open(key, range));
}

/** PUT, GET and HEAD of objects at the edge itself. */
export function serveObjects(server: FastifyInstance, pool: Pool, storage: FsStorage): void {
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    const url = `${OBJECTS_PATH}*`;
    scope.put(url, { config: { longBody: true } }, (request, reply) => putObject(pool, storage, request, reply));
    scope.route({ method: ['GET', 'HEAD'], url, handler: (request, reply) => getObject(storage, request, reply) });
  });
}
