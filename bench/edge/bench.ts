import { runLoad } from '../load.ts';
import { createFlat } from '../peers/data/flat.ts';
import { apiKeys, fillRows } from '../peers/data/rows.ts';
import { openService } from '../peers/services/fork.ts';
import type { Peer } from '../peers/services/peer.ts';
import { watchProcesses } from '../processes.ts';
import type { Bench } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { type BenchStack, withStack } from '../stack.ts';
import { measureMemory } from './memory.ts';
import { openHaproxy } from './peers/haproxy.ts';
import { report } from './report.ts';
import { checkAnswers, MODES, sidesOf } from './sides.ts';

/** Enough to keep two cores busy, and few enough not to measure queues. */
const CONNECTIONS = 32;
const TENANTS = 1000;

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const [rounds, seconds] = quick ? [3, 2] : [9, 5];
    progress(`${TENANTS} tenants with files`);
    const tenants = await fillRows(stack.admin, { tenants: TENANTS, filesPerTenant: quick ? 40 : 200 });
    const { peers, missing, close } = await openPeers(stack);
    try {
      const sides = sidesOf(stack.info, peers, tenants);
      await checkAnswers(sides);
      const samples = await runRounds(sides, { rounds, progress }, async ({ name, origin, requests }, nth) => {
        const watch = watchProcesses({ ...stack.pids(), ...(peers[name] ? { peer: peers[name].pid } : {}) });
        const load = { origin, requests, connections: CONNECTIONS, seconds: nth === 0 ? 1 : seconds };
        const result = await runLoad(load);
        return { ...result, ...watch.stop(result.requests) };
      });
      progress('memory');
      const memory = await measureMemory(stack, tenants);
      return report(samples, memory, missing);
    } finally {
      await close();
    }
  });

export default bench;

async function openPeers({ admin, info, directory }: BenchStack) {
  const peers: Record<string, Peer> = {};
  const close = async () => {
    for (const peer of Object.values(peers)) await peer.close();
  };
  try {
    const keys = await apiKeys(admin);
    const urls = { rls: info.database.edge, ...(await createFlat(admin, info.database.admin)) };
    for (const mode of MODES) {
      const source = mode.replace('Tuned', '') as keyof typeof urls;
      peers[mode] = await openService('hand-written.ts', mode, urls[source], keys);
    }
    const haproxy = await openHaproxy(directory, info.postgrest);
    if ('close' in haproxy) peers.haproxy = haproxy;
    return { peers, missing: 'missing' in haproxy ? haproxy.missing : undefined, close };
  } catch (error) {
    await close();
    throw error;
  }
}
