/** A tenant that is much larger, or much busier, than the others of a table. */
export interface Skew {
  tenant_id: string;
  /** Protected table, and the partition of it that holds the tenant. */
  table: string;
  partition: string;
  /** Estimated from statistics, as are all shares: nothing is counted. */
  rows: number;
  share: number;
  /** How many times the rows of the average of the others. */
  times: number;
  /** The tenant's part of the partition. */
  partition_share: number;
  /** Share of the table's blocks that were touched, beyond what the median partition's were; null where that cannot be told. */
  work: number | null;
}

/** What a tenant takes of all tables together. */
export interface Usage {
  tenant_id: string;
  work: number;
  /** Share of the API's time: null without pg_stat_statements. */
  time: number | null;
}

/** One statement as it ran in a session of the tenant. Means over the values that were tried. */
export interface Measurement {
  /** As a request, with … for each value: what a tenant stores is nowhere written down. */
  statement: string;
  ms: number;
  /** Rows that came out, and rows that were read to find them. */
  rows: number;
  read: number;
  blocks: number;
  /** It was cancelled, as PostgREST's would be: `ms` is how long it may take, and nothing else is known. */
  cancelled?: true;
  /** Rows that the planner expected of the conditions, and that there were. */
  estimated?: number;
  matching?: number;
}

export type Kind = 'index' | 'statistics' | 'target' | 'pool';

export interface Proposal {
  id: string;
  kind: Kind;
  tenant_id: string;
  table: string | null;
  partition: string | null;
  /** What is made: an index, an extended statistics object, a column, a pool. */
  object: string;
  /** What is run. For a pool, and where `manual`, what to do by hand. */
  definition: string;
  /** Takes it back, where that is not to drop the object. */
  undo: string | null;
  reason: string;
  /** What trying it has shown. */
  gain: string;
  /** What it takes, of whom. */
  cost: string;
  /** Not to be done by this program. */
  manual: boolean;
}

/** What was tried, or considered, and is not worth having. */
export interface Rejection {
  tenant_id: string;
  definition: string;
  reason: string;
}

export type Progress = (message: string) => void;
