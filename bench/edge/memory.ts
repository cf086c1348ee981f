import { setTimeout as delay } from 'node:timers/promises';
import { runLoad } from '../load.ts';
import type { Tenant } from '../peers/data/rows.ts';
import { watchProcesses } from '../processes.ts';
import type { BenchStack } from '../stack.ts';

export interface Memory {
  rssMb: number;
  tenants: number;
}

const LISTS = ['/v1/files?select=id,name&limit=20', '/v1/files?order=created_at.desc&limit=50', '/v1/members'];

/** What the edge holds after all rounds, and after every tenant has asked for several lists, which it may keep. */
export async function measureMemory({ info, pids }: BenchStack, tenants: readonly Tenant[]): Promise<Memory> {
  const { edge } = info;
  const requests = tenants.flatMap(({ token }) =>
    LISTS.map((path) => ({ path, headers: { authorization: `Bearer ${token}` } })),
  );
  for (const { path, headers } of requests) {
    const answer = await fetch(`${edge}${path}`, { headers });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
  }
  await runLoad({ origin: edge, requests: requests.slice(0, 600), connections: 16, seconds: 2 });
  await delay(1000);
  const { rssMb } = watchProcesses({ edge: pids().edge as number }).stop(1);
  return { rssMb: rssMb.edge ?? Number.NaN, tenants: tenants.length };
}
