import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * An S3 of one bucket in memory, which recomputes every signature (AWS Signature Version 4, header and query form) and
 * refuses what is unsigned, wrongly signed or expired. It knows the calls that the s3 driver and its clients make.
 */
export interface S3Double {
  endpoint: string;
  bucket: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  objects: Map<string, Buffer>;
  close(): Promise<void>;
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data);
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();
const percentEncode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

/** The parts of a signature, from the Authorization header or from the query. */
function readSignature(request: IncomingMessage, query: URLSearchParams) {
  const header = /^AWS4-HMAC-SHA256 Credential=(.+), ?SignedHeaders=(.+), ?Signature=([0-9a-f]{64})$/.exec(
    request.headers.authorization ?? '',
  );
  if (header) {
    const [, credential = '', signedHeaders = '', signature = ''] = header;
    const payload = String(request.headers['x-amz-content-sha256']);
    return { credential, signedHeaders, signature, payload, date: String(request.headers['x-amz-date']), expires: 900 };
  }
  const field = (name: string) => query.get(`X-Amz-${name}`) ?? '';
  if (field('Algorithm') !== 'AWS4-HMAC-SHA256') throw new Refusal(403, 'AccessDenied');
  return {
    credential: field('Credential'),
    signedHeaders: field('SignedHeaders'),
    signature: field('Signature'),
    payload: 'UNSIGNED-PAYLOAD',
    date: field('Date'),
    expires: Number(field('Expires')),
  };
}

function checkSignature(double: S3Double, request: IncomingMessage, url: URL): { payload: string } {
  const given = readSignature(request, url.searchParams);
  const [accessKeyId, day = '', region = '', service = ''] = given.credential.split('/');
  const scope = `${day}/${double.region}/s3/aws4_request`;
  if (accessKeyId !== double.accessKeyId) throw new Refusal(403, 'InvalidAccessKeyId');
  if (`${day}/${region}/${service}/aws4_request` !== scope) throw new Refusal(403, 'SignatureDoesNotMatch');
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .sort()
    .join('&');
  const names = given.signedHeaders.split(';');
  // S3 itself asks for these: a signature that leaves them out would let a client change them.
  const needed = Object.keys(request.headers).filter((name) => /^(host|x-amz-(?!content-sha256).*)$/.test(name));
  if (!needed.every((name) => names.includes(name))) throw new Refusal(403, 'AccessDenied');
  const headers = names.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`).join('');
  const canonical = [request.method, url.pathname, query, headers, given.signedHeaders, given.payload].join('\n');
  const text = ['AWS4-HMAC-SHA256', given.date, scope, sha256(canonical).digest('hex')].join('\n');
  const key = ['s3', 'aws4_request'].reduce<Buffer>(hmac, hmac(hmac(`AWS4${double.secretAccessKey}`, day), region));
  const expected = hmac(key, text);
  const signature = Buffer.from(given.signature, 'hex');
  if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
    throw new Refusal(403, 'SignatureDoesNotMatch');
  }
  const signedAt = Date.parse(given.date.replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)$/, '$1-$2-$3:$4:$5'));
  if (!(signedAt + given.expires * 1000 > Date.now())) throw new Refusal(403, 'AccessDenied');
  return given;
}

async function readBody(request: IncomingMessage, payload: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (request.headers['content-length'] === undefined) throw new Refusal(411, 'MissingContentLength');
  if (payload !== 'UNSIGNED-PAYLOAD' && payload !== sha256(body).digest('hex')) {
    throw new Refusal(400, 'XAmzContentSHA256Mismatch');
  }
  const checksum = request.headers['x-amz-checksum-sha256'];
  if (checksum !== undefined && checksum !== sha256(body).digest('base64')) throw new Refusal(400, 'BadDigest');
  return body;
}

function sendObject(request: IncomingMessage, response: ServerResponse, url: URL, object: Buffer): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last), object.length - 1) : object.length - 1;
  if (first && start >= object.length) throw new Refusal(416, 'InvalidRange');
  const body = object.subarray(start, end + 1);
  response.statusCode = first ? 206 : 200;
  response.setHeader('Content-Length', body.length);
  for (const name of ['content-type', 'content-disposition']) {
    const wanted = url.searchParams.get(`response-${name}`);
    if (wanted) response.setHeader(name, wanted);
  }
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function answer(double: S3Double, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', double.endpoint);
  const { payload } = checkSignature(double, request, url);
  const prefix = `/${double.bucket}/`;
  if (!url.pathname.startsWith(prefix)) throw new Refusal(404, 'NoSuchBucket');
  const key = decodeURIComponent(url.pathname.slice(prefix.length));
  if (request.method === 'PUT') {
    const body = await readBody(request, payload);
    if (request.headers['if-none-match'] === '*' && double.objects.has(key)) {
      throw new Refusal(412, 'PreconditionFailed');
    }
    double.objects.set(key, body);
    response.end();
  } else if (request.method === 'DELETE') {
    double.objects.delete(key);
    response.writeHead(204).end();
  } else if (request.method === 'GET' || request.method === 'HEAD') {
    const object = double.objects.get(key);
    if (!object) throw new Refusal(404, 'NoSuchKey');
    sendObject(request, response, url, object);
  } else {
    throw new Refusal(405, 'MethodNotAllowed');
  }
}

/** Starts the double on a free port. */
export async function startS3Double(): Promise<S3Double> {
  const server = createServer((request, response) => {
    answer(double, request, response).catch((error) => {
      // A client that left in the middle of its body has nobody to answer.
      if (response.destroyed) return;
      const { status, code } = error instanceof Refusal ? error : { status: 500, code: 'InternalError' };
      const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
      response.writeHead(status, { 'Content-Type': 'application/xml' }).end(request.method === 'HEAD' ? '' : body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const double: S3Double = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bucket: 'rowhouse',
    region: 'us-east-1',
    accessKeyId: 'test-access-key',
    secretAccessKey: 'test-secret-key',
    objects: new Map(),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return double;
}
