import { randomUUID } from 'node:crypto';

const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(-.*)?$/;

/** A version after 00 may have more behind the same four fields (W3C Trace Context, 3.2.4). */
function isTraceparent(header: string): boolean {
  const [, version, more] = TRACEPARENT.exec(header) ?? [];
  return version !== undefined && (version !== '00' || more === undefined);
}

/** The client's trace, where it sent one that is valid; else a new one. @param header `traceparent` */
export function traceparentOf(header: string | string[] | undefined): string {
  if (typeof header === 'string' && isTraceparent(header)) return header;
  const trace = randomUUID().replaceAll('-', '');
  // Not sampled: nobody has recorded it yet.
  return `00-${trace}-${trace.slice(16)}-00`;
}

export const traceIdOf = (traceparent: string): string => traceparent.slice(3, 35);

/** Whether the trace is recorded, and what else its flags say: two hexadecimal digits. */
export const traceFlagsOf = (traceparent: string): string => traceparent.slice(53, 55);
