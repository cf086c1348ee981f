import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { LoadRequest } from '../load.ts';
import { type Answer, lengthOf, readAnswer } from './answer.ts';

/** One HTTP/1.1 connection that is kept open, with one request on its way at a time. */
export interface Connection {
  /** @throws Error when the server closes it before it has answered in full */
  send(request: Buffer): Promise<Answer>;
  close(): void;
}

/** The bytes of a request, made once: a load sends the same ones over and over. */
export function encode(origin: URL, { method = 'GET', path, headers, body }: LoadRequest): Buffer {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const lines = Object.entries({ host: origin.host, ...headers, ...length }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
}

export async function connect({ hostname, port }: URL): Promise<Connection> {
  const socket = createConnection({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  let received: Buffer | undefined;
  let waiting: PromiseWithResolvers<Answer> | undefined;

  socket.on('data', (chunk: Buffer) => {
    const all = received ? Buffer.concat([received, chunk]) : chunk;
    const length = lengthOf(all);
    if (length === undefined || length > all.length) {
      received = all;
      return;
    }
    received = length < all.length ? all.subarray(length) : undefined;
    waiting?.resolve(readAnswer(all.subarray(0, length)));
  });
  socket.on('error', (error) => waiting?.reject(error));
  socket.on('close', () => waiting?.reject(new Error('the server closed the connection')));

  return {
    send(request) {
      waiting = Promise.withResolvers();
      if (socket.destroyed) waiting.reject(new Error('the server closed the connection'));
      else socket.write(request);
      return waiting.promise;
    },
    close() {
      waiting?.promise.catch(() => {});
      socket.destroy();
    },
  };
}
