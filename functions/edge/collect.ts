import { Readable } from 'node:stream';

/** The whole body where it has at most `limit` bytes, or was whole already; else a stream of it, as if nothing had been read. */
export async function collect(body: Readable | Buffer, limit: number): Promise<Buffer | Readable> {
  if (Buffer.isBuffer(body)) return body;
  const chunks: Buffer[] = [];
  const source = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (let size = 0; ; ) {
    const { done, value } = await source.next();
    if (done) return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    chunks.push(value);
    size += value.length;
    if (size > limit) return resumed(chunks, source, body);
  }
}

/**
 * Not a generator: one that is given up before its first chunk was asked for runs no `finally`, and the body would hold its
 * connection and its place among the requests in flight for ever.
 */
function resumed(chunks: Buffer[], source: AsyncIterator<Buffer>, body: Readable): Readable {
  return new Readable({
    read() {
      const chunk = chunks.shift();
      if (chunk) this.push(chunk);
      else
        source.next().then(
          ({ done, value }) => this.push(done ? null : value),
          (error) => this.destroy(error),
        );
    },
    destroy(error, done) {
      body.destroy();
      done(error);
    },
  });
}
