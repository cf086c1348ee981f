import type { StackInfo } from '../../functions/stack/supervisor.ts';
import type { LoadRequest } from '../load.ts';
import type { Tenant } from '../peers/data/rows.ts';
import type { Peer } from '../peers/services/peer.ts';

/** Of the hand-written services in bench/peers. */
export const MODES = ['rls', 'rlsTuned', 'claimsTuned', 'plain', 'plainTuned'] as const;
type Mode = (typeof MODES)[number];

export type SideName = 'direct' | 'uncached' | 'mixed' | 'hit' | 'haproxy' | Mode;

/** One way to the same answers. */
export interface Side {
  name: SideName;
  origin: string;
  requests: readonly LoadRequest[];
}

const PATH = '/files?select=id,name,size,status,created_at&order=created_at.desc,id.desc&limit=20';
/** Asked in turn, so that no side answers out of one warm page or one warm connection. */
const ASKED = 20;

/** @param peers by name: what answers without the edge */
export function sidesOf(info: StackInfo, peers: Partial<Record<SideName, Peer>>, tenants: readonly Tenant[]): Side[] {
  const asked = tenants.slice(0, ASKED);
  const asking = (path: string, extra: (nth: number) => Record<string, string> = () => ({})): LoadRequest[] =>
    asked.map(({ token }, nth) => ({ path, headers: { authorization: `Bearer ${token}`, ...extra(nth) } }));
  const noStore = { 'cache-control': 'no-store' };
  const throughEdge = `/v1${PATH}`;
  return [
    { name: 'direct', origin: info.postgrest, requests: asking(PATH, () => noStore) },
    { name: 'uncached', origin: info.edge, requests: asking(throughEdge, () => noStore) },
    { name: 'mixed', origin: info.edge, requests: asking(throughEdge, (nth) => (nth % 4 === 0 ? noStore : {})) },
    { name: 'hit', origin: info.edge, requests: asking(throughEdge) },
    ...Object.entries(peers).map(([name, { origin }]) => ({
      name: name as SideName,
      origin,
      requests: asking(PATH, () => noStore),
    })),
  ];
}

interface File {
  id: string;
  created_at: string;
}

/** A time as JavaScript has it: services that make their JSON in JavaScript know no microseconds. */
const plainly = (body: string) =>
  JSON.stringify((JSON.parse(body) as File[]).map((file) => ({ ...file, created_at: Date.parse(file.created_at) })));

async function answersOf({ origin, requests }: Side) {
  const answers = [];
  for (const { path, headers } of requests) {
    const answer = await fetch(`${origin}${path}`, { headers });
    answers.push({ status: answer.status, cache: answer.headers.get('x-cache'), body: await answer.text() });
  }
  return answers;
}

/**
 * @throws Error unless every side answers every request with the same rows, to the byte unless it makes its JSON in JavaScript, and
 * `hit` comes out of the cache when it is asked again
 */
export async function checkAnswers(sides: readonly Side[]): Promise<void> {
  const [first] = sides;
  if (!first) return;
  const expected = await answersOf(first);
  for (const side of sides) {
    const inJavaScript = side.name === 'rls' || side.name === 'plain';
    for (const [nth, { status, body }] of (await answersOf(side)).entries()) {
      const wanted = expected[nth]?.body ?? '';
      const same = status === 200 && (inJavaScript ? plainly(body) === plainly(wanted) : body === wanted);
      if (same && JSON.parse(body).length === 20) continue;
      throw new Error(`${side.name} answered ${status}\n${body.slice(0, 300)}\n${first.name}\n${wanted.slice(0, 300)}`);
    }
  }
  const hits = sides.find(({ name }) => name === 'hit');
  for (const { cache } of hits ? await answersOf(hits) : []) {
    if (!/^hit/i.test(cache ?? '')) throw new Error(`asked again, the edge answered with X-Cache: ${cache}`);
  }
}
