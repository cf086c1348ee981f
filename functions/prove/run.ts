import { randomInt } from 'node:crypto';
import { transaction } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { type Catalogue, nameOf, type Relation, readCatalogue } from './catalogue.ts';
import { createClient } from './client.ts';
import { fillOrder } from './fill/order.ts';
import { refreshMaterializedViews } from './fill/refresh.ts';
import { forge } from './forge.ts';
import { type Lab, readSeen, worldMarkers } from './lab.ts';
import { createMatrix } from './matrix.ts';
import { closeSessions, openSessions } from './probes/login.ts';
import { planProbes } from './probes/plan.ts';
import { blindSpots, reportOf } from './report/report.ts';
import { runPlan } from './schedule.ts';
import { compareSurface } from './surface.ts';
import { type OpenTarget, openTarget } from './target.ts';
import type { ProveOptions, ProveReport, ProveTarget } from './types.ts';
import { createWorld, removeTenants, takeDatabase, type World } from './world.ts';

/** Rows of A's: enough parents for pairs of references. */
const ROWS = 10;
const QUICK_ROWS = 5;

function interrupted(options: ProveOptions): void {
  if (options.signal?.aborted)
    throw new RowhouseError('internal', { detail: 'Interrupted.', hint: 'Nothing was left behind.' });
}

async function openLab(
  target: OpenTarget,
  catalogue: Catalogue,
  relations: Relation[],
  world: World,
  options: ProveOptions,
): Promise<Lab> {
  const client = createClient(target, world.tokens);
  const lab: Lab = {
    target,
    options,
    catalogue,
    relations,
    world,
    client,
    markers: worldMarkers(world, catalogue),
    seen: new Map(),
    tainted: new Set(),
    written: new Set(),
  };
  for (const relation of catalogue.relations) lab.seen.set(nameOf(relation), await readSeen(lab, relation));
  return lab;
}

async function attack(
  target: OpenTarget,
  catalogue: Catalogue,
  options: ProveOptions,
  seed: number,
): Promise<ProveReport> {
  const started = Date.now();
  const say = options.onProgress ?? (() => {});
  const chosen = catalogue.relations.filter(
    (relation) => !options.only?.relations || options.only.relations.includes(nameOf(relation)),
  );
  say(
    `${catalogue.relations.length} relations and ${catalogue.functions.length} functions are exposed; filling them for three tenants`,
  );
  const filled = options.only?.relations ? (chosen.length > 0 ? chosen : catalogue.relations) : catalogue.relations;
  const { world, findings } = await createWorld(target, catalogue, filled, {
    seed,
    count: options.quick ? QUICK_ROWS : ROWS,
  });
  await refreshMaterializedViews(target.pool);
  const forgeries = await forge(target.pool, world);
  interrupted(options);
  const lab = await openLab(target, catalogue, chosen, world, options);
  const sessions = options.only?.verbs?.every((verb) => verb !== 'session' && verb !== 'rule')
    ? []
    : await openSessions(lab);
  try {
    if (!options.quick) findings.push(...(await compareSurface(lab.client, catalogue)));
    findings.push(...blindSpots(lab));
    const matrix = createMatrix();
    const plan = await planProbes(lab, matrix, { forgeries, sessions });
    findings.push(...plan.findings);
    const outcome = await runPlan(lab, matrix, plan, () => interrupted(options));
    findings.push(...outcome.findings);
    return reportOf(lab, matrix, plan, findings, outcome, started, !outcome.stopped);
  } finally {
    await closeSessions(sessions);
    await lab.client.close();
  }
}

/**
 * Attacks everything that is exposed, from one throw-away tenant at another, and leaves nothing behind.
 * @returns what was tried and what gave way
 * @throws RowhouseError database_not_disposable, upstream_unavailable, conflict
 */
export async function prove(target: ProveTarget, options: ProveOptions = {}): Promise<ProveReport> {
  const seed = options.seed ?? randomInt(2 ** 31);
  const open = await openTarget(target);
  try {
    const holder = await open.pool.connect();
    try {
      await takeDatabase(holder);
      const catalogue = await transaction(open.pool, (client) => readCatalogue(client, open.schemas));
      const tables = fillOrder(catalogue, catalogue.relations);
      await removeTenants(open, tables);
      try {
        return await attack(open, catalogue, options, seed);
      } finally {
        await removeTenants(open, tables);
        await refreshMaterializedViews(open.pool);
      }
    } finally {
      holder.release(true); // its lock goes with its connection
    }
  } finally {
    await open.pool.end();
  }
}
