import type { Dispatcher } from 'undici';
import { SendFailure } from './outcome.ts';
import { parseRetryAfter } from './retry.ts';

export interface ExchangeLimits {
  /** From the moment that the request is on its connection to the end of the answer's head. */
  headersMs: number;
  /** From there to the end of its body. */
  bodyMs: number;
  keptBytes: number;
  readBytes: number;
}

export interface Answer {
  status: number;
  retryAfterSeconds: number | null;
  body: string;
}

/** The connection broke before anything of an answer came. */
export class NoAnswer extends SendFailure {}

/**
 * Takes one answer from undici. An answer counts when it is complete, or when as much of it is there as is ever read; then its
 * connection is destroyed. Made for each request, so a class: its methods are made once.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #limits: ExchangeLimits;
  readonly #deadline: number;
  readonly #done: (result: Answer | Error) => void;
  #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #status = 0;
  #retryAfter: number | null = null;
  #kept: Buffer[] = [];
  #read = 0;

  /** @param deadline by performance.now(), for all of it */
  constructor(limits: ExchangeLimits, deadline: number, done: (result: Answer | Error) => void) {
    this.#limits = limits;
    this.#deadline = deadline;
    this.#done = done;
    const left = deadline - performance.now();
    this.#timer = setTimeout(() => this.end(new SendFailure('connect_timeout', 'no connection in time')), left);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#settled) {
      controller.abort(new Error('given up while it waited'));
      return;
    }
    this.#controller = controller;
    this.#expect(this.#limits.headersMs, 'no answer');
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: object): void {
    if (status < 200) return;
    this.#status = status;
    const { 'retry-after': retryAfter } = headers as Record<string, string | string[]>;
    this.#retryAfter = parseRetryAfter(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
    this.#expect(this.#limits.bodyMs, 'an unfinished answer');
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = this.#limits.keptBytes - this.#read;
    if (room > 0) this.#kept.push(chunk.subarray(0, room));
    this.#read += chunk.length;
    if (this.#read > this.#limits.readBytes) this.end(this.#answer());
  }

  /**
   * undici gives the connection back in the next turn of the event loop. Whoever hears of the answer before that and sends the next
   * request would open a second one.
   */
  onResponseEnd(): void {
    clearTimeout(this.#timer);
    queueMicrotask(() => setImmediate(() => this.end(this.#answer())));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.end(failureOf(error, this.#status));
  }

  /** Settles it, once; a connection on which something is still to come is destroyed. */
  end(result: Answer | Error): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#done(result);
    // A no-op once the answer is complete.
    this.#controller?.abort(new Error('the answer is not awaited any longer'));
  }

  #expect(ms: number, what: string): void {
    clearTimeout(this.#timer);
    const left = Math.max(0, Math.min(ms, this.#deadline - performance.now()));
    this.#timer = setTimeout(
      () => this.end(new SendFailure('response_timeout', `${what} after ${Math.round(left)} ms`)),
      left,
    );
  }

  #answer(): Answer {
    return { status: this.#status, retryAfterSeconds: this.#retryAfter, body: this.#text() };
  }

  /** PostgreSQL's text has no NUL, and a character that the limit cut is left out. */
  #text(): string {
    if (this.#kept.length === 0) return '';
    const text = Buffer.concat(this.#kept).toString('utf8').replaceAll('\0', '\u{fffd}');
    return this.#read > this.#limits.keptBytes ? text.replace(/\u{fffd}$/u, '') : text;
  }
}

const UNREADABLE = /^(?:HPE_.*|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/;
const REFUSED = /^UND_ERR_(?:INVALID_ARG|NOT_SUPPORTED|REQ_CONTENT_LENGTH_MISMATCH)$/;

/** @param status of the answer, 0 while there is none */
export function failureOf(error: Error & { code?: string }, status = 0): SendFailure {
  if (error instanceof SendFailure) return error;
  const { code = '', name, message } = error;
  if (REFUSED.test(code)) return new SendFailure('request_invalid', message, error);
  // undici gives some of its parser's errors no code, and an answer that it cannot make sense of its socket's.
  if (name === 'HTTPParserError' || UNREADABLE.test(code) || message.startsWith('bad ')) {
    return new SendFailure('response_invalid', message, error);
  }
  return new (status === 0 ? NoAnswer : SendFailure)(
    'reset',
    code === 'UND_ERR_SOCKET' ? message : code || message,
    error,
  );
}
