import type { Logger } from '../../log.ts';
import type { Kind } from './kind.ts';

const EVERY_MS = 1000;

/** Logs what limits in shadow mode would have refused: a line a second for each tenant and kind, however many they are. */
export function createShadow(log: Logger) {
  const requests = new Map<string, { tenant_id: string; kind: Kind; requests: number }>();
  const timer = setInterval(() => {
    for (const noted of requests.values()) log.warn(noted, 'over the rate limit, in shadow mode');
    requests.clear();
  }, EVERY_MS).unref();

  return {
    note(tenantId: string, kind: Kind): void {
      const key = `${tenantId} ${kind}`;
      const noted = requests.get(key);
      if (noted) noted.requests++;
      else requests.set(key, { tenant_id: tenantId, kind, requests: 1 });
    },
    stop: () => clearInterval(timer),
  };
}
