import type { Bench } from '../report.ts';
import { measureBacklog } from './backlog.ts';
import { measureDelivery } from './delivery.ts';
import { measureDispatch } from './dispatch.ts';
import { measureFairness } from './fairness.ts';
import { measureLedger } from './ledger.ts';
import { measureReceipt } from './receipt.ts';
import { report } from './report.ts';
import { measureReceiver } from './samples.ts';
import { isQuiet, withWorld } from './world.ts';

const bench: Bench = ({ quick, progress }) =>
  withWorld(progress, async (world) => {
    const rounds = quick ? 2 : 9;
    const ledger = await measureLedger(world, { rounds: quick ? 2 : 7, seconds: quick ? 1 : 5, progress });
    const receiver = await measureReceiver(world.receiver.origin, quick ? 1 : 5);
    const delivery = await measureDelivery(world, { count: quick ? 2000 : 10_000, rounds: quick ? 2 : 5, progress });
    const receipt = await measureReceipt(world, { seconds: quick ? 6 : 60, progress });
    const queued = quick ? 20_000 : 50_000;
    const pace = quick ? { perSecond: 5, samples: 40 } : { perSecond: 1, samples: 60 };
    const fairness = await measureFairness(world, { queued, ...pace, progress });
    await isQuiet(world.admin);
    await world.worker.stop();
    for (const tenant of world.tenants) await world.addEndpoint(tenant, '/never');
    const dispatch = await measureDispatch(world, { count: quick ? 1000 : 10_000, rounds, progress });
    const backlog = await measureBacklog(world, {
      ...{ backlog: quick ? 100_000 : 1_000_000, count: quick ? 3000 : 20_000, rounds, progress },
    });
    return report({ ledger, receiver, delivery, receipt, fairness, queued, dispatch, backlog, quick });
  });

export default bench;
