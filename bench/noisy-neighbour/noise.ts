import { setTimeout as delay } from 'node:timers/promises';
import autocannon from 'autocannon';
import { headersOf, PATH } from './target.ts';

export interface NoiseOptions {
  origin: string;
  token: string;
  connections: number;
  seconds: number;
}

export interface Noise {
  /** Resolves at its end. @returns requests per second that were answered 200 */
  end(): Promise<number>;
}

const RISE_MS = 1500;

/** A tenant that asks from many connections as fast as it is answered, whatever it is answered. Resolves when it has begun. */
export async function startNoise({ origin, token, connections, seconds }: NoiseOptions): Promise<Noise> {
  const run = autocannon({
    url: `${origin}${PATH}`,
    connections,
    // A run in a thread of its own cannot be stopped before its time.
    duration: seconds + RISE_MS / 1000,
    workers: 1,
    headers: headersOf(token),
  });
  await delay(RISE_MS);
  return {
    async end() {
      const result = await run;
      if (result['2xx'] === 0) throw new Error('the noisy tenant was never answered: there was no noise');
      return result['2xx'] / result.duration;
    },
  };
}
