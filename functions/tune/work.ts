import type { Partition } from './skew.ts';
import type { Skew, Usage } from './types.ts';

/**
 * What each large tenant takes of everything: of the blocks that were touched and, where statements are timed, of the time. The time of
 * a table is shared out as its blocks are: pg_stat_statements does not know tenants.
 * @param time milliseconds by table
 */
export function usageOf(
  skews: readonly Skew[],
  partitions: readonly Partition[],
  time: ReadonlyMap<string, number>,
): Usage[] {
  const blocks = new Map<string, number>();
  for (const one of partitions) blocks.set(one.table, (blocks.get(one.table) ?? 0) + one.blocks);
  const total = (map: ReadonlyMap<string, number>) => [...map.values()].reduce((sum, one) => sum + one, 0);
  const part = (own: readonly Skew[], map: ReadonlyMap<string, number>) =>
    own.reduce((sum, { work, table }) => sum + (work ?? 0) * (map.get(table) ?? 0), 0) / Math.max(1, total(map));
  const tenants = Map.groupBy(skews, ({ tenant_id }) => tenant_id);
  return [...tenants].map(([tenant_id, own]) => ({
    tenant_id,
    work: part(own, blocks),
    time: total(time) > 0 ? part(own, time) : null,
  }));
}
