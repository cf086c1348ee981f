export type Spread = 'uniform' | 'zipf';

/** One table of the bench's own, behind the wall as any other. */
export interface GrowthTable {
  name: string;
  tenants: number;
  rows: number;
  /** How rows are shared among tenants: equally, or the nth tenant has 1/n of the first one's. */
  spread: Spread;
  partitions: number;
}

const ROWS_PER_TENANT = 1000;
/** What protect() makes where nothing is said. */
export const SHIPPED_PARTITIONS = 32;
export const PARTITIONS = [8, 16, 32, 64] as const;

/** Numbers of tenants. */
export const SIZES = { quick: [100, 1000], full: [100, 1000, 10_000] } as const;

export const table = (tenants: number, spread: Spread, partitions = SHIPPED_PARTITIONS): GrowthTable => ({
  name: `growth_${tenants}_${spread}_${partitions}`,
  tenants,
  rows: tenants * ROWS_PER_TENANT,
  spread,
  partitions,
});
