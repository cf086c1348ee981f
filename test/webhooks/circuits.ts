import { expect } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import type { Webhooks } from './api.ts';
import type { Answer, Receiver } from './receiver.ts';

/** Failures in a row that open a circuit, where nobody says otherwise. */
export const TEN = 10;

/**
 * Endpoints of a tenant that fail until their circuits open.
 * @param openMs for how long they are open the first time: so long that nothing a test sees comes of its end
 */
export async function circuits(tenant: Webhooks, receiver: Receiver, openMs: number) {
  /** By path; 200 where nothing is said. */
  const answers = new Map<string, () => Answer | Promise<Answer>>();
  receiver.answers(({ path }) => answers.get(path.slice(1))?.() ?? 200);
  const witness = await tenant.create({ url: receiver.url('witness'), event_types: ['witness.*'] });
  let witnessed = 0;

  async function expectOpen(id: string, failures = TEN): Promise<void> {
    const { health } = await tenant.endpoint(id);
    expect(health).toMatchObject({ circuit: 'open', failures });
    expect(Date.parse(health.paused_until ?? '') - Date.now()).toBeGreaterThan(openMs / 2);
  }

  return {
    answers,
    expectOpen,

    /** An endpoint that fails. */
    async failing(path: string, more: object = {}): Promise<string> {
      const { id } = await tenant.create({ url: receiver.url(path), event_types: [`${path}.*`], ...more });
      answers.set(path, () => 500);
      return id;
    },

    /** Events of a type of the path's, each with a subject of its own, which the dispatcher has passed. */
    async emitted(path: string, count: number): Promise<void> {
      await Promise.all([...Array(count).keys()].map((n) => tenant.emit(`${path}.event`, `s${n}`, { name: n })));
      await tenant.emit('witness.event', 'w', {});
      witnessed += 1;
      await tenant.settled(
        witness.id,
        (all) => all.length === witnessed && all.every(({ status }) => status === 'succeeded'),
      );
    },

    /** Waits until it is open. */
    async hasOpened(id: string, failures = TEN): Promise<void> {
      await until(async () => (await tenant.endpoint(id)).health.circuit === 'open', { timeoutMs: 10_000 });
      await expectOpen(id, failures);
    },

    /** An endpoint of which ten deliveries have failed. */
    async opened(path: string, more: object = {}): Promise<string> {
      const id = await this.failing(path, more);
      await this.emitted(path, TEN);
      await this.hasOpened(id);
      await tenant.settled(id, (all) => all.length === TEN && all.every(({ attempts }) => attempts === 1));
      return id;
    },

    /** Waits until everything was delivered, and nothing is known of failures any more. */
    async isWell(id: string): Promise<void> {
      await tenant.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
      expect((await tenant.endpoint(id)).health).toEqual({
        ...{ circuit: 'closed', paused_until: null, failing_since: null, failures: 0, last_error: null },
      });
    },
  };
}

export type Circuits = Awaited<ReturnType<typeof circuits>>;
