import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { readJson, stateDirectory } from '../../functions/stack/state.ts';
import { runLoad } from '../load.ts';
import type { Tenant } from './data.ts';

export interface Memory {
  rssMb: number;
  tenants: number;
}

const LISTS = ['/v1/files?select=id,name&limit=20', '/v1/files?order=created_at.desc&limit=50', '/v1/members'];

/** What the edge holds after all rounds, and after every tenant has asked for several lists, which it may keep. */
export async function measureMemory(edge: string, directory: string, tenants: readonly Tenant[]): Promise<Memory> {
  const requests = tenants.flatMap(({ token }) =>
    LISTS.map((path) => ({ path, headers: { authorization: `Bearer ${token}` } })),
  );
  // One connection goes through the whole list: with several, each would begin at its start.
  for (const { path, headers } of requests) {
    const answer = await fetch(`${edge}${path}`, { headers });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
  }
  await runLoad({ origin: edge, requests: requests.slice(0, 600), connections: 16, seconds: 2 });
  await delay(1000);
  const children = readJson<Record<string, { pid: number }>>(stateDirectory(directory).processes);
  const status = readFileSync(`/proc/${children?.edge?.pid}/status`, 'utf8');
  return { rssMb: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024, tenants: tenants.length };
}
