import type { LoadRequest } from '../load.ts';
import type { Tenant } from './tables.ts';

/** Each adds one thing to the one before it. */
export const STEPS = ['flat', 'rls', 'sealed', 'partitioned', 'shipped'] as const;
/** Beside the steps: the gate alone, before the flat table. */
export type SideName = (typeof STEPS)[number] | 'flat_gated';

export interface Side {
  name: SideName;
  title: string;
  gated: boolean;
  origin: string;
  requests: readonly LoadRequest[];
}

export const OWN_SCHEMAS = ['wall_flat', 'wall_rls', 'wall_sealed', 'wall_partitioned'];

const PATH = '/files?select=id,name,size,status,created_at&order=created_at.desc,id.desc&limit=20';
/** Asked in turn, so that no side answers out of one warm page. */
const ASKED = 20;

const SIDES: readonly (Omit<Side, 'origin' | 'requests'> & { schema: string })[] = [
  { name: 'flat', title: 'flat table, no RLS, tenant in the URL', gated: false, schema: 'wall_flat' },
  { name: 'flat_gated', title: '(flat, with the gate before it)', gated: true, schema: 'wall_flat' },
  { name: 'rls', title: '+ RLS on request.jwt.claims', gated: false, schema: 'wall_rls' },
  { name: 'sealed', title: '+ gate, policies of the seal', gated: true, schema: 'wall_sealed' },
  { name: 'partitioned', title: '+ 32 hash partitions', gated: true, schema: 'wall_partitioned' },
  { name: 'shipped', title: '+ view, ledger triggers: as shipped', gated: true, schema: 'v1' },
];

/** @param origins of the PostgREST with the gate and the one without */
export function sidesOf(origins: { gated: string; ungated: string }, tenants: readonly Tenant[]): Side[] {
  const asked = tenants.slice(0, ASKED);
  return SIDES.map(({ schema, ...side }) => ({
    ...side,
    origin: side.gated ? origins.gated : origins.ungated,
    requests: asked.map(({ id, token }) => ({
      path: schema === 'wall_flat' ? `${PATH}&tenant_id=eq.${id}` : PATH,
      // The schema is named even where it is the default: requests of all sides are the same but for it.
      headers: { authorization: `Bearer ${token}`, 'accept-profile': schema },
    })),
  }));
}

/** @throws Error unless each side answers each request with the same 20 rows, to the byte */
export async function checkAnswers(sides: readonly Side[]): Promise<void> {
  const [first] = sides;
  const expected = first ? await answersOf(first) : [];
  for (const side of sides) {
    for (const [nth, { status, body }] of (await answersOf(side)).entries()) {
      if (status === 200 && body === expected[nth]?.body && JSON.parse(body).length === 20) continue;
      const wanted = expected[nth]?.body.slice(0, 300);
      throw new Error(`${side.name} answered ${status}\n${body.slice(0, 300)}\n${first?.name}\n${wanted}`);
    }
  }
}

async function answersOf({ origin, requests }: Side) {
  const answers = [];
  for (const { path, headers } of requests) {
    const answer = await fetch(`${origin}${path}`, { headers });
    answers.push({ status: answer.status, body: await answer.text() });
  }
  return answers;
}
