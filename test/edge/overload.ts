import { request } from 'undici';

export interface Tally {
  seconds: number;
  /** Answers by status. */
  statuses: Record<number, number>;
  /** Whether something was refused in each whole second: the limit held requests back, and not a machine that sends too few. */
  contended: boolean;
}

export interface OverloadOptions {
  token: string;
  seconds: number;
  /** Requests at once, for each URL. */
  connections?: number;
  /** Stops asking a URL early, as when its edge was killed. */
  active?: (url: string) => boolean;
}

const PAUSE_MS = 5;

/** Asks for more than is allowed, from several edges at once. Connections that break are counted as status 0. */
export async function overload(urls: readonly string[], options: OverloadOptions): Promise<Tally> {
  const { token, seconds, connections = 8, active = () => true } = options;
  const statuses: Record<number, number> = {};
  const refusedIn = new Set<number>();
  const start = performance.now();
  const until = start + seconds * 1000;

  async function client(url: string): Promise<void> {
    while (performance.now() < until && active(url)) {
      const answer = await request(url, {
        headers: { authorization: `Bearer ${token}`, 'cache-control': 'no-cache' },
      }).catch(() => null);
      await answer?.body.dump();
      const status = answer?.statusCode ?? 0;
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (status === 429) refusedIn.add(Math.floor((performance.now() - start) / 1000));
      if (status !== 200) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
  await Promise.all(urls.flatMap((url) => Array.from({ length: connections }, () => client(url))));
  const wholeSeconds = Array.from({ length: Math.floor(seconds) }, (_, second) => second);
  // The burst is let through first.
  const contended = wholeSeconds.slice(2).every((second) => refusedIn.has(second));
  return { seconds: (performance.now() - start) / 1000, statuses, contended };
}
