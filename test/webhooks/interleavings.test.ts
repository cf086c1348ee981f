import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Pool } from '../../functions/database.ts';
import { createEngine } from '../../functions/worker/webhooks/engine.ts';
import type { Outcome, Outgoing } from '../../functions/worker/webhooks/outgoing/outcome.ts';
import type { SecretOpener } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import type { Records } from '../../functions/worker/webhooks/records.ts';
import type { Ask, Claimed, Delivery, Described } from '../../functions/worker/webhooks/store.ts';

/** What the database, the receiver and the clock do, one step at a time: moments that a real stack meets by chance. */

const ENDPOINT = 'e1';

interface Claim {
  /** Which of the two sessions: the first is everybody's, the other that of backlogs. */
  session: number;
  asks: Ask[];
  releases: string[];
  answer(rows: Claimed[]): void;
}

interface Sent {
  id: string;
  end(status: number): void;
}

let claims: Claim[];
let released: { session: number; id: string }[];
let sent: Sent[];
let records: { content: Records; committed: boolean; commit(): void }[];
let sessions: (() => void)[];
let engine: ReturnType<typeof createEngine>;

/** One failure opens the circuit where a test needs what was read to be dropped. */
let circuitFailures = 100;

beforeEach((context) => {
  circuitFailures = context.task.name.startsWith('does not pass over') ? 1 : 100;
  vi.useFakeTimers({ now: 1_000_000 });
  claims = [];
  released = [];
  sessions = [];
  sent = [];
  records = [];
  const pool = {
    query: ({ values }: { values: string[] }) =>
      new Promise((resolve) => {
        const [results, parked, freed, states] = values.map((value) => JSON.parse(value));
        const entry = {
          content: { results, parked, freed, states },
          committed: false,
          commit() {
            entry.committed = true;
            resolve({ rows: [{ recorded: results.length }] });
          },
        };
        records.push(entry);
      }),
  };
  engine = createEngine({
    connectionString: '',
    pool: pool as unknown as Pool,
    sender: {
      send: ({ headers }: Outgoing) =>
        new Promise<Outcome>((resolve) => {
          const end = (status: number) =>
            resolve({ kind: 'response', status, retryAfterSeconds: null, body: '', latencyMs: 1 });
          sent.push({ id: headers['webhook-id'] ?? '', end });
        }),
    },
    opener: { open: async () => Buffer.alloc(32, 1) } as unknown as SecretOpener,
    limits: { circuitFailures, circuitOpenMs: 2000, disableAfterMs: 1e9, disableAttempts: 1e9 },
    retryScale: 1,
    capacity: 100,
    log: pino({ level: 'silent' }),
    openSession: (onLost) => {
      const session = sessions.push(onLost) - 1;
      return {
        async claim(releases, asks) {
          released.push(...releases.map((id) => ({ session, id })));
          // Giving leases back needs no answer of a test's own.
          return asks.length === 0 ? [] : new Promise((answer) => claims.push({ session, releases, asks, answer }));
        },
        end: async () => {},
      };
    },
  });
});

afterEach(() => vi.useRealTimers());

/** Lets everything happen that is not a matter of time. */
const settle = () => vi.advanceTimersByTimeAsync(0);

function delivery(position: number, orderingKey: string | null, fields: Partial<Delivery> = {}): Claimed {
  const fresh = { attempts: 0, failed: 0, retried: false, blocked: false, eventId: `evt_${position}`, body: '{}' };
  return { kind: 'delivery', endpoint: ENDPOINT, delivery: { position, orderingKey, ...fresh, ...fields } };
}

const HEALTH = { circuit: 'closed', opened: 0, failures: 0, pausedUntil: null, failingSince: null } as const;
const leased: Claimed = { kind: 'leased', endpoint: ENDPOINT, dueAt: null, health: HEALTH };

function described(fields: Partial<Described> = {}): Claimed[] {
  const plain: Described = {
    version: 2,
    generation: 1,
    watermark: 0,
    url: 'https://hooks.example.com/',
    ordering: 'none',
    rate: null,
    timeoutMs: 15_000,
    signing: ['v1'],
    tenantConcurrency: 32,
    tenantWeight: 1,
    secrets: [{ kind: 'hmac', header: null, ciphertext: 'AA==', expiresAt: null }],
  };
  return [leased, { kind: 'endpoint', endpoint: ENDPOINT, described: { ...plain, ...fields } }];
}

const ids = () => sent.map(({ id }) => id);
const claimAt = (nth: number): Claim => claims[nth] ?? expect.fail(`there was no claim ${nth}, but ${claims.length}`);
const sentAt = (nth: number): Sent => sent[nth] ?? expect.fail(`${nth} was not sent: ${ids()}`);

/** Everything that was to be written is, and what follows from it. */
async function commit(): Promise<void> {
  for (let quiet = 0; quiet < 3; ) {
    await settle();
    const open = records.filter((entry) => !entry.committed);
    for (const entry of open) entry.commit();
    quiet = open.length > 0 ? 0 : quiet + 1;
  }
}

/** The receiver takes all that is sent, and what is sent because of that. */
async function acceptAll(): Promise<void> {
  for (let accepted = -1; accepted < sent.length; ) {
    accepted = sent.length;
    for (const { end } of sent) end(200);
    await commit();
  }
}

const written = () => records.flatMap(({ content }) => content.results);

test('sends what its rate lets go, also when something else happens just then', async () => {
  engine.wake('t_a', ENDPOINT, true);
  await settle();
  claimAt(0).answer([...described({ rate: 1 }), delivery(1, null), delivery(2, null)]);
  await settle();
  // There is nothing more to read: from here on, the second one is a matter of time alone.
  claimAt(1).answer([leased]);
  sentAt(0).end(200);
  await commit();
  expect(ids()).toEqual(['evt_1']);
  // Its time comes, and before the timer does, something else ends and has the engine look around.
  vi.setSystemTime(1_000_950);
  engine.wake('t_b', 'e2', true);
  await settle();
  expect(claimAt(2).asks).toMatchObject([{ id: 'e2' }]);
  claimAt(2).answer([{ kind: 'gone', endpoint: 'e2' }]);
  await settle();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ids()).toEqual(['evt_1', 'evt_2']);
});

test.each(['subject', 'endpoint'] as const)(
  'lets nothing pass by a failed delivery of its %s that was read before the failure was recorded',
  async (ordering) => {
    const key = ordering === 'endpoint' ? '' : 's';
    engine.wake('t_a', ENDPOINT, true);
    await settle();
    claimAt(0).answer([...described({ ordering }), delivery(1, key)]);
    await settle();
    expect(ids()).toEqual(['evt_1']);
    // A read begins; the failure is recorded; only then does the read answer, with what it saw when it began.
    engine.wake('t_a', ENDPOINT, true);
    await settle();
    expect(claimAt(1).asks).toMatchObject([{ id: ENDPOINT, fresh: true }]);
    sentAt(0).end(500);
    await commit();
    expect(written()).toMatchObject([{ p: 1, status: 'pending' }]);
    claimAt(1).answer([leased, delivery(2, key), delivery(3, key)]);
    await commit();
    expect(ids()).toEqual(['evt_1']);
  },
);

test('does not pass over what was dropped while a read was under way', async () => {
  engine.wake('t_a', ENDPOINT, true);
  await settle();
  // One lane: the second one waits in the buffer when the circuit opens.
  claimAt(0).answer([...described({ tenantConcurrency: 1 }), delivery(1, null), delivery(2, null)]);
  await settle();
  expect(ids()).toEqual(['evt_1']);
  engine.wake('t_a', ENDPOINT, true);
  await settle();
  expect(claimAt(1).asks).toMatchObject([{ id: ENDPOINT, watermark: 2 }]);
  sentAt(0).end(500);
  await commit();
  claimAt(1).answer([leased, delivery(3, null)]);
  await commit();
  // It was neither sent nor is it in hand: it has to be read again, and no watermark may say otherwise.
  expect(ids()).toEqual(['evt_1']);
  await vi.advanceTimersByTimeAsync(3000);
  await commit();
  engine.tick();
  await commit();
  const asks = claims.slice(2).flatMap((claim) => claim.asks);
  expect(asks[0]?.watermark).toBeLessThan(2);
  const saved = records.flatMap(({ content }) => content.states).map(({ watermark }) => watermark);
  expect(Math.max(...saved)).toBeLessThan(2);
});

test('believes no answer of a session that is gone, and reads again', async () => {
  engine.wake('t_a', ENDPOINT, true);
  await settle();
  claimAt(0).answer([...described({ tenantConcurrency: 4 }), delivery(1, null), delivery(2, null)]);
  await settle();
  expect(ids()).toEqual(['evt_1', 'evt_2']);
  for (const { end } of sent) end(200);
  engine.wake('t_a', ENDPOINT, true);
  await commit();
  // The answer and the end of the connection come together: the connection's end is heard of first.
  const nth = claims.length - 1;
  claimAt(nth).answer([leased, delivery(3, null), delivery(4, null), delivery(5, null), delivery(6, null)]);
  sessions[0]?.();
  await commit();
  expect(ids()).toEqual(['evt_1', 'evt_2']);
  expect(claimAt(nth + 1).asks).toMatchObject([{ id: ENDPOINT, version: 0 }]);
  claimAt(nth + 1).answer([...described({ tenantConcurrency: 4, watermark: 2 }), delivery(3, null), delivery(4, null)]);
  await commit();
  expect(ids()).toEqual(['evt_1', 'evt_2', 'evt_3', 'evt_4']);
});

test.each([0, 1])(
  'believes nothing that it knew before it lost session %i, also of what it had given back',
  async (nth) => {
    engine.wake('t_a', ENDPOINT, true);
    await settle();
    claimAt(0).answer([...described(), delivery(1, null), delivery(2, null)]);
    await settle();
    claimAt(1).answer([leased]);
    await acceptAll();
    expect(released).toEqual([{ session: 0, id: ENDPOINT }]);
    // The server went down, and took the records along: both wait again, and it holds no lease of theirs.
    sessions[nth]?.();
    engine.wake('t_a', ENDPOINT, true);
    await vi.advanceTimersByTimeAsync(5);
    expect(claimAt(2).asks).toMatchObject([{ id: ENDPOINT, version: 0 }]);
    claimAt(2).answer([...described(), delivery(1, null), delivery(2, null)]);
    await settle();
    expect(ids()).toEqual(['evt_1', 'evt_2', 'evt_1', 'evt_2']);
    // Until they are recorded anew, no watermark passes over them.
    engine.tick();
    await vi.advanceTimersByTimeAsync(1500);
    await commit();
    const saved = records.flatMap(({ content }) => content.states).map(({ watermark }) => watermark);
    expect(saved.at(-1)).toBe(0);
  },
);

test('reads what nobody should wait for on a session of its own, once others come, and no delivery meanwhile', async () => {
  let position = 0;
  const many = (count: number) => Array.from({ length: count }, () => delivery(++position, null));
  const answer = (nth: number) => {
    const { rows } = claimAt(nth).asks[0] ?? expect.fail('nothing was asked');
    return claimAt(nth).answer([...(nth === 0 ? described() : [leased]), ...many(rows)]);
  };
  engine.wake('t_a', ENDPOINT, true);
  await settle();
  for (let nth = 0; position < 300; nth += 1) {
    answer(nth);
    await settle();
    await acceptAll();
  }
  // One that has next to nothing comes beside it.
  answer(claims.length - 1);
  await settle();
  engine.wake('t_b', 'e2', true);
  answer(claims.length - 1);
  await vi.advanceTimersByTimeAsync(5);
  const nth = claims.length - 1;
  expect(claimAt(nth)).toMatchObject({ session: 0, asks: [{ id: 'e2' }] });
  claimAt(nth).answer([{ kind: 'gone', endpoint: 'e2' }]);
  await settle();
  // No lease moves while anything is in hand.
  expect(released).toEqual([]);
  // Records are a backlog's work, too: they have their turns.
  for (let turn = 0; turn < 20 && released.length === 0; turn += 1) {
    await acceptAll();
    await vi.advanceTimersByTimeAsync(50);
  }
  expect(released).toEqual([{ session: 0, id: ENDPOINT }]);
  expect(claimAt(nth + 1)).toMatchObject({ session: 1, asks: [{ id: ENDPOINT, watermark: position }] });
  expect(new Set(ids()).size).toBe(position);
  // When it has caught up, it is one of all again.
  claimAt(nth + 1).answer([leased]);
  await vi.advanceTimersByTimeAsync(50);
  expect(released).toEqual([
    { session: 0, id: ENDPOINT },
    { session: 1, id: ENDPOINT },
  ]);
  engine.wake('t_a', ENDPOINT, true);
  await vi.advanceTimersByTimeAsync(5);
  expect(claimAt(nth + 2)).toMatchObject({ session: 0, asks: [{ id: ENDPOINT }] });
});
