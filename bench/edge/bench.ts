import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '../../functions/database.ts';
import { openStack } from '../../functions/stack/supervisor.ts';
import { runLoad } from '../load.ts';
import type { Bench } from '../report.ts';
import { apiKeys, fillTables, peerUrl } from './data.ts';
import { measureMemory } from './memory.ts';
import { MODES, openService } from './peers/hand-written.ts';
import { openHaproxy } from './peers/haproxy.ts';
import type { Peer } from './peers/peer.ts';
import { report } from './report.ts';
import { checkAnswers, type Side, sidesOf } from './sides.ts';

/** Enough to keep two cores busy, and few enough not to measure queues. */
const CONNECTIONS = 32;
const TENANTS = 1000;

const bench: Bench = async ({ quick, progress }) => {
  const rounds = quick ? 3 : 9;
  const seconds = quick ? 2 : 5;
  const directory = await mkdtemp(join(tmpdir(), 'rowhouse-edge-'));
  const stack = await openStack({ directory });
  const admin = createPool(stack.info.database.admin, 'bench', 2);
  const closing: (() => Promise<unknown>)[] = [];
  try {
    for (const step of stack.steps) progress(await step.run(() => {}));
    progress(`${TENANTS} tenants with files`);
    const tenants = await fillTables(admin, { tenants: TENANTS, rowsPerTenant: quick ? 40 : 200 });
    const keys = await apiKeys(admin);
    const url = await peerUrl(admin, stack.info.database.admin);
    const services: Record<string, Peer> = {};
    for (const mode of MODES) {
      const service = await openService(mode, mode.startsWith('rls') ? stack.info.database.edge : url, keys);
      services[mode] = service;
      closing.push(service.close);
    }
    const haproxy = await openHaproxy(directory, stack.info.postgrest);
    if ('close' in haproxy) closing.push(haproxy.close);

    const peers = { ...services, ...('close' in haproxy ? { haproxy } : {}) };
    const sides = sidesOf(stack.info, peers, tenants);
    await checkAnswers(sides);
    const measured = new Map<Side, number[]>(sides.map((side) => [side, []]));
    for (let round = 0; round <= rounds; round++) {
      // Each side begins once, ends once, and comes after each other side: noise of the machine falls on all of them.
      const order = [...sides.slice(round % sides.length), ...sides.slice(0, round % sides.length)];
      for (const side of round % 2 === 0 ? order : order.toReversed()) {
        const load = { origin: side.origin, requests: side.requests, connections: CONNECTIONS };
        const { requestsPerSecond } = await runLoad({ ...load, seconds: round === 0 ? 1 : seconds });
        if (round > 0) measured.get(side)?.push(requestsPerSecond);
      }
      progress(round === 0 ? 'warm' : `round ${round} of ${rounds}`);
    }
    progress('memory');
    const memory = await measureMemory(stack.info.edge, directory, tenants);
    return report(measured, memory, 'missing' in haproxy ? haproxy.missing : undefined);
  } finally {
    for (const close of closing) await close();
    await admin.end();
    await stack.stop();
    await rm(directory, { recursive: true, force: true });
  }
};

export default bench;
