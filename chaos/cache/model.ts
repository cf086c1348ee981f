/** What has been written to one row, as its writers know it. Versions only grow. */
export interface Row {
  id: number;
  /** The only edge that it is written through. */
  home: number;
  issued: number;
  /** Acknowledged writes: the newest last. Only those of the last seconds are kept, and one before. */
  acknowledged: { version: number; at: number }[];
  writing: boolean;
}

export interface TenantModel {
  id: string;
  /** In every row of the tenant's, and in no other's. */
  marker: string;
  tokens: string[];
  rows: Row[];
  guest: { token: string; member: boolean; changing: boolean; epoch: number };
}

/** How old another edge's answer may be. */
export const GRACE_MS = 1000;

export function acknowledge(row: Row, version: number): void {
  const at = performance.now();
  row.acknowledged.push({ version, at });
  // What is certainly older than GRACE_MS, but for the newest of it, is never asked for again.
  while (row.acknowledged.length > 2 && (row.acknowledged[1]?.at ?? at) < at - 30_000) row.acknowledged.shift();
}

/** The newest version that had been acknowledged at a moment. */
export function versionAt({ acknowledged }: Row, moment: number): number {
  return acknowledged.findLast(({ at }) => at <= moment)?.version ?? 0;
}

export interface Counts {
  operations: number;
  reads: number;
  writes: number;
  hits: number;
  errors: number;
  staleSameEdge: number;
  staleOtherEdge: number;
  /** Older than any write acknowledged when the request was sent, whichever edge, with no grace. */
  staleStrictly: number;
  foreign: number;
  /** Answers to a member after the removal had been acknowledged. */
  lateRefusals: number;
}

export const noCounts = (): Counts => ({
  operations: 0,
  reads: 0,
  writes: 0,
  hits: 0,
  errors: 0,
  staleSameEdge: 0,
  staleOtherEdge: 0,
  staleStrictly: 0,
  foreign: 0,
  lateRefusals: 0,
});

/** What has to have been seen at least by a request that is sent now. */
export interface Floors {
  same: number;
  other: number;
  strict: number;
}

/** @param edge that the request goes through */
export function floorsOf(rows: readonly Row[], edge: number): Floors {
  const now = performance.now();
  const floors = { same: 0, other: 0, strict: 0 };
  for (const row of rows) {
    const strict = versionAt(row, now);
    floors.strict += strict;
    floors.other += versionAt(row, now - GRACE_MS);
    floors.same += row.home === edge ? strict : 0;
  }
  return floors;
}

export function judge(counts: Counts, seen: number, floors: Floors): void {
  if (seen < floors.same) counts.staleSameEdge += 1;
  if (seen < floors.other) counts.staleOtherEdge += 1;
  if (seen < floors.strict) counts.staleStrictly += 1;
}
