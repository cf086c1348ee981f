import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { responseHeaders } from '../forwarding.ts';
import type { Answer } from '../pipeline.ts';
import { type Failure, UpstreamError } from './failure.ts';

/** Answers up to this size are handed on whole: a stream costs more than it saves. PostgREST makes them whole anyway. */
const WHOLE_BYTES = 128 * 1024;

/** What an upstream keeps of its requests. */
export interface Load {
  inFlight: number;
  /** When it last answered, by performance.now(). */
  answeredAt: number;
}

/**
 * Takes one answer from undici. Made for each request, so a class: its methods are made once.
 * An answer that has begun is not given up before it is whole unless it has become a stream: PostgREST runs a statement to its end
 * whether anybody listens or not, and what counts requests in flight has to count that one.
 */
export class AnswerHandler implements Dispatcher.DispatchHandler {
  readonly #load: Load;
  readonly #prefix: string;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: UpstreamError) => void;
  #sent = false;
  #settled = false;
  #status = 0;
  #headers: Answer['headers'] = {};
  #chunks: Buffer[] = [];
  #size = 0;
  #stream: Readable | undefined;

  constructor(load: Load, prefix: string, resolve: (answer: Answer) => void, reject: (error: UpstreamError) => void) {
    this.#load = load;
    this.#prefix = prefix;
    this.#resolve = resolve;
    this.#reject = reject;
    load.inFlight++;
  }

  onRequestStart(): void {
    this.#sent = true;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: object): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = responseHeaders(headers as Record<string, string>, this.#prefix);
    this.#load.answeredAt = performance.now();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream) {
      if (!this.#stream.push(chunk)) controller.pause();
      return;
    }
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > WHOLE_BYTES) this.#become(controller);
  }

  onResponseEnd(): void {
    this.#settle();
    if (this.#stream) this.#stream.push(null);
    else this.#answer(this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks));
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.#settle();
    if (this.#stream) this.#stream.destroy(cause);
    else this.#reject(new UpstreamError(failureOf(cause, this.#sent), cause));
  }

  /** A stream from here on: what has come so far, and the rest at the pace at which it is read. */
  #become(controller: Dispatcher.DispatchController): void {
    const stream = new Readable({
      highWaterMark: WHOLE_BYTES,
      read: () => controller.resume(),
      destroy: (error, done) => {
        if (!this.#settled) controller.abort(error ?? new Error('the client has gone'));
        done(error);
      },
    });
    for (const chunk of this.#chunks) stream.push(chunk);
    this.#chunks = [];
    this.#stream = stream;
    controller.pause();
    this.#answer(stream);
  }

  #answer(body: Answer['body']): void {
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  #settle(): void {
    if (!this.#settled) this.#load.inFlight--;
    this.#settled = true;
  }
}

const UNREADABLE = /^UND_ERR_(?:HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$/;

function failureOf(error: Error & { code?: string }, sent: boolean): Failure {
  const { code = '', name } = error;
  // What undici refuses to send is wrong with the request, not with the upstream.
  if (/^UND_ERR_(INVALID_ARG|NOT_SUPPORTED|REQ_CONTENT_LENGTH_MISMATCH)$/.test(code)) return 'refused';
  if (!sent) return 'unsent';
  // undici gives its parser's errors no code.
  if (name === 'HTTPParserError' || UNREADABLE.test(code)) return 'unreadable';
  return /^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(code) ? 'late' : 'broken';
}
