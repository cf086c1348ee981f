import type { RowhouseError } from '../../errors.ts';

/** The lines of server-sent events (WHATWG HTML, 9.2). */

export const STREAM_HEADERS = Object.freeze({
  'content-type': 'text/event-stream; charset=utf-8',
  // Proxies that would gather or pack what is written hold events back.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  // It ends when there is nothing more to say: nobody can wait behind it on this connection.
  connection: 'close',
});

/** Clients come back after this long, each after another time: an edge that ends lets all of them go at once. */
const RETRY_MS = 1000;
const RETRY_SPREAD_MS = 2000;

const retry = () => `retry: ${Math.round(RETRY_MS + Math.random() * RETRY_SPREAD_MS)}\n`;

/** With an id and no data, a client takes note of where it is and is told of no event. */
const markLine = (mark: number | null) => (mark === null ? '' : `id: evt_${mark}\n`);

export const openingFrame = (mark: number | null) => Buffer.from(`: open\n${retry()}${markLine(mark)}\n`);

export const heartbeatFrame = (mark: number | null) => Buffer.from(`: heartbeat\n${markLine(mark)}\n`);

/** @param event the CloudEvent as PostgreSQL prints jsonb: on one line */
export const eventFrame = (position: number, type: string, event: string) =>
  Buffer.from(`id: evt_${position}\nevent: ${type}\ndata: ${event}\n\n`);

/** Says why the stream ends. It has no id: what the client has seen last stays what it has seen last. */
export function closingFrame({ code, status, title, detail, hint }: RowhouseError): Buffer {
  const reason = { code, status, title, detail: detail ?? title, hint: hint ?? null };
  return Buffer.from(`${retry()}event: stream.closed\ndata: ${JSON.stringify(reason)}\n\n`);
}
