import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { expect } from 'vitest';

export interface CloudEvent {
  id: string;
  source: string;
  type: string;
  subject?: string;
  tenantid: string;
  data: { old?: Record<string, unknown>; new?: Record<string, unknown> };
}

export interface ServerSentEvent {
  id: string | undefined;
  event: string;
  data: CloudEvent & { code?: string; detail?: string; hint?: string };
}

export interface OpenStream {
  status: number;
  headers: IncomingHttpHeaders;
  /** In the order they came. */
  events: ServerSentEvent[];
  comments: string[];
  /** As an EventSource has it: also of frames without data. */
  lastEventId: string | undefined;
  retryMs: number | undefined;
  /** Everything that came, when it is no stream. */
  text: string;
  /** Why it ended, as the edge said; undefined: it did not say. */
  reason(): ServerSentEvent['data'] | undefined;
  ended: Promise<'ended' | 'reset'>;
  /** Resolves with the first events when there are so many, `stream.closed` not counted. */
  take(count: number, timeoutMs?: number): Promise<ServerSentEvent[]>;
  pause(): void;
  resume(): void;
  close(): void;
}

export interface StreamOptions {
  token: string;
  query?: string;
  headers?: Record<string, string>;
}

/** Reads the lines of an event stream as WHATWG HTML, 9.2.6 says. */
function parser(stream: OpenStream): (text: string) => void {
  let rest = '';
  let id: string | undefined;
  let event = '';
  let data: string[] = [];
  const line = (text: string) => {
    if (text === '') {
      if (id !== undefined) stream.lastEventId = id;
      if (data.length > 0) stream.events.push({ id, event, data: JSON.parse(data.join('\n')) });
      id = undefined;
      event = '';
      data = [];
      return;
    }
    const colon = text.indexOf(':');
    const [field, value] = [text.slice(0, colon), text.slice(colon + 1).replace(/^ /, '')];
    if (field === '') stream.comments.push(value);
    else if (field === 'id') id = value;
    else if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
    else if (field === 'retry') stream.retryMs = Number(value);
    else throw new Error(`no such field: ${text}`);
  };
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const one of lines) line(one);
  };
}

/** Opens `GET /v1/stream` on a connection of its own. Resolves with the head of the answer, whatever it is. */
export function openStream(edge: string, { token, query = '', headers = {} }: StreamOptions): Promise<OpenStream> {
  return new Promise((resolve, reject) => {
    const sent = request(`${edge}/v1/stream${query}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...headers },
      agent: false,
    });
    sent.on('error', reject);
    sent.on('response', (response: IncomingMessage) => {
      const stream: OpenStream = {
        status: response.statusCode ?? 0,
        headers: response.headers,
        events: [],
        comments: [],
        lastEventId: undefined,
        retryMs: undefined,
        text: '',
        reason: () => stream.events.find(({ event }) => event === 'stream.closed')?.data,
        ended: new Promise((done) => {
          response.once('end', () => done('ended'));
          response.once('error', () => done('reset'));
          response.once('close', () => done('reset'));
        }),
        async take(count, timeoutMs = 15_000) {
          const own = () => stream.events.filter(({ event }) => event !== 'stream.closed');
          await expect.poll(() => own().length, { timeout: timeoutMs, interval: 10 }).toBeGreaterThanOrEqual(count);
          return own().slice(0, count);
        },
        pause: () => void response.pause(),
        resume: () => void response.resume(),
        close: () => void sent.destroy(),
      };
      const isStream = String(response.headers['content-type']).startsWith('text/event-stream');
      const parse = parser(stream);
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        if (isStream) parse(text);
        else stream.text += text;
      });
      if (isStream) resolve(stream);
      else response.once('end', () => resolve(stream));
    });
    sent.end();
  });
}

/** The problem that was answered instead of a stream. */
export const problemOf = ({ status, text }: OpenStream) => {
  const { code, detail, hint } = JSON.parse(text) as { code: string; detail: string; hint: string };
  return { status, code, detail, hint };
};
