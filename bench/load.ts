import autocannon from 'autocannon';

/** One request of a load; the load goes through its list over and over. */
export interface LoadRequest {
  path: string;
  headers: Record<string, string>;
}

export interface LoadResult {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

export interface LoadOptions {
  origin: string;
  requests: readonly LoadRequest[];
  connections: number;
  seconds: number;
}

/**
 * A closed loop of HTTP/1.1 connections, in a thread of its own.
 * @throws Error where anything but 2xx came back: what was measured would not be the answers
 */
export async function runLoad({ origin, requests, connections, seconds }: LoadOptions): Promise<LoadResult> {
  const result = await autocannon({
    url: origin,
    connections,
    duration: seconds,
    workers: 1,
    requests: requests.map(({ path, headers }) => ({ method: 'GET' as const, path, headers })),
  });
  const { errors, non2xx } = result;
  if (errors + non2xx > 0) throw new Error(`${origin}: ${errors} errors, ${non2xx} answers that are not 2xx`);
  return {
    // `requests.average` is of whole seconds, the first and last of which are not whole.
    requestsPerSecond: result['2xx'] / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
  };
}
