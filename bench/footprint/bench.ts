import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connected } from '../../functions/database.ts';
import type { StackInfo } from '../../functions/stack/supervisor.ts';
import { runLoad } from '../load.ts';
import { memoryOf } from '../processes.ts';
import type { Bench } from '../report.ts';
import { measureDisk } from './disk.ts';
import { report } from './report.ts';
import { npmStart, type Started } from './start.ts';

/** Long enough for what a start leaves behind to be gone. */
const IDLE_SECONDS = 10;
const LOAD_SECONDS = 5;

const bench: Bench = async ({ quick, progress }) => {
  const parent = await mkdtemp(join(tmpdir(), 'rowhouse-footprint-'));
  const directory = join(parent, 'state');
  const starts: Started[] = [];
  let running: Started | undefined;
  try {
    for (let nth = 0; nth <= (quick ? 3 : 9); nth++) {
      await running?.stop();
      running = undefined;
      running = await npmStart(directory);
      starts.push(running);
      progress(`${nth === 0 ? 'first start' : `start ${nth}`}: ${running.readySeconds.toFixed(2)} s`);
    }
    if (!running) throw new Error('nothing was started');
    progress(`idle for ${IDLE_SECONDS} s`);
    await delay(IDLE_SECONDS * 1000);
    const idle = memoryOf(running.pids, true);
    progress('load, and idle again');
    await work(running.info);
    await delay(IDLE_SECONDS * 1000);
    const worked = memoryOf(running.pids, true);
    return report(starts, { idle, worked }, measureDisk(directory));
  } finally {
    await running?.stop();
    await rm(parent, { recursive: true, force: true });
  }
};

export default bench;

/** As fast as the edge answers, for several seconds: every process then holds what it keeps once it has been used. */
async function work({ edge, database }: StackInfo): Promise<void> {
  const token = await connected(database.admin, async (client) => {
    await client.query('update tenancy.plans set read_rate = 1e6, read_burst = 1e6, request_concurrency = 64');
    const { rows } = await client.query<{ token: string }>(
      `select auth.issue_token('t_acme', 'ada', 'owner', '1 hour') as token`,
    );
    return rows[0]?.token ?? '';
  });
  await delay(1000); // until the edge has heard of the rates
  const headers = { authorization: `Bearer ${token}`, 'cache-control': 'no-store' };
  const requests = [{ path: '/v1/members?select=user_id,role', headers }];
  await runLoad({ origin: edge, requests, connections: 16, seconds: LOAD_SECONDS });
}
