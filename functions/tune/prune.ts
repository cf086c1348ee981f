import type pg from 'pg';
import { forget, invalidLeftovers, type Made, readMade } from './made.ts';
import { dropObject } from './remove.ts';
import { findSkew, readPartitions } from './skew.ts';
import type { Progress } from './types.ts';

export interface Verdict {
  id: string | null;
  tenant_id: string | null;
  kind: Made['kind'];
  object: string;
  /** `forget`: the object is gone, or no longer ours; only the record goes. */
  verdict: 'keep' | 'remove' | 'forget';
  reason: string;
}

const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

function verdictOn(
  made: Made,
  days: number,
  countedDays: number,
  isLarge: boolean,
): Pick<Verdict, 'verdict' | 'reason'> {
  if (!made.exists) return { verdict: 'forget', reason: 'it is no longer there' };
  if (made.attached_to) return { verdict: 'forget', reason: `it is part of ${made.attached_to} now` };
  if (made.status === 'building' || !made.valid) return { verdict: 'remove', reason: 'its build was interrupted' };
  if (!made.tenant_exists) return { verdict: 'remove', reason: 'the tenant is gone' };
  if (made.days < days) return { verdict: 'keep', reason: `it is ${plural(made.days, 'day')} old` };
  if (made.kind !== 'index') {
    return isLarge
      ? { verdict: 'keep', reason: 'the tenant is as large as it was' }
      : { verdict: 'remove', reason: 'the tenant is not large any more' };
  }
  if (made.days_since_scan !== null && made.days_since_scan < days)
    return { verdict: 'keep', reason: `last used ${plural(Math.floor(made.days_since_scan), 'day')} ago` };
  if (countedDays < days)
    return {
      verdict: 'keep',
      reason: `uses are counted for ${plural(countedDays, 'day')} only: statistics were reset`,
    };
  return { verdict: 'remove', reason: `not used for ${plural(days, 'day')}` };
}

/**
 * Says of everything that was made whether it is to stay.
 * @param days how long something may be there unused
 * @param share what makes a tenant large; it stays large down to half of that
 */
export async function judge(client: pg.Client, days: number, share: number): Promise<Verdict[]> {
  const made = await readMade(client);
  const { rows } = await client.query<{ days: number | null }>(
    `select floor(extract(epoch from now() - stats_reset) / 86400)::integer as days from pg_stat_database where datname = current_database()`,
  );
  const counted = rows[0]?.days ?? Number.POSITIVE_INFINITY;
  const large = findSkew(await readPartitions(client), share / 2);
  const verdicts = made.map((one): Verdict => {
    const isLarge = large.some(
      ({ tenant_id, partition }) => tenant_id === one.tenant_id && (one.partition ?? partition) === partition,
    );
    const { id, tenant_id, kind, object } = one;
    return { id, tenant_id, kind, object, ...verdictOn(one, days, counted, isLarge) };
  });
  const unknown = (await invalidLeftovers(client)).filter((object) => !made.some((one) => one.object === object));
  const leftovers = unknown.map((object): Verdict => {
    return { id: null, tenant_id: null, kind: 'index', object, verdict: 'remove', reason: 'its build was interrupted' };
  });
  return [...verdicts, ...leftovers];
}

/** Carries out what `judge` has said. */
export async function prune(client: pg.Client, verdicts: readonly Verdict[], progress: Progress): Promise<void> {
  const made = await readMade(client);
  for (const { id, tenant_id, kind, object, verdict, reason } of verdicts) {
    if (verdict === 'keep') continue;
    const own = made.find((one) => one.id === id && one.tenant_id === tenant_id);
    const undo = own?.undo ?? null;
    if (verdict === 'remove') {
      progress(`removing ${object}: ${reason}`);
      await dropObject(client, { kind, object, undo });
    }
    if (own) await forget(client, own);
  }
}

/** Removes what an interrupted run has left. @returns what it was */
export async function clean(client: pg.Client, progress: Progress): Promise<string[]> {
  const made = await readMade(client);
  const unfinished = made.filter(({ status, valid, exists }) => status === 'building' || (exists && !valid));
  for (const one of unfinished) {
    progress(`removing ${one.object}: its build was interrupted`);
    await dropObject(client, one);
    await forget(client, one);
  }
  const others = await invalidLeftovers(client);
  for (const object of others) {
    progress(`removing ${object}: its build was interrupted`);
    await dropObject(client, { kind: 'index', object, undo: null });
  }
  return [...unfinished.map(({ object }) => object), ...others];
}
