/** What a fault run knows of what was written, what was asked for, and what came. */

export type Ordering = 'none' | 'endpoint' | 'subject';

export interface Endpoint {
  tenant: string;
  id: string;
  ordering: Ordering;
  types: readonly string[];
  /** The newest last: after a rotation, the one before it as well. */
  secrets: string[];
  /** As its tenant reads them, of one that signs with v1a as well; both keys of a rotation. */
  publicKeys: string[];
}

export interface Tenant {
  id: string;
  token: string;
  endpoints: Endpoint[];
}

/** What its writers know of a change: `kind` of one row or emitted event, and which version of it. */
export const keyOf = (tenant: string, type: string, subject: string, version: number | null) =>
  `${tenant} ${type} ${subject} ${version ?? ''}`;

export interface Written {
  /** Answered with success, or committed. */
  acknowledged: Set<string>;
  /** Rolled back on purpose, by subject: none of these may ever be heard of. */
  rolledBack: Set<string>;
  /** Answered with an error, or not at all: it happened, or it did not. */
  unknown: number;
}

/** An event as the ledger has it. */
export interface LedgerEvent {
  tenant: string;
  position: number;
  id: string;
  type: string;
  subject: string | null;
  /** The least role that sees it. */
  role: string;
  /** As keyOf() makes it. */
  key: string;
}

/** One request that came to an endpoint, in the order in which they came. */
export interface Receipt {
  endpoint: Endpoint;
  id: string;
  type: string;
  subject: string | null;
  source: string;
  /** Of the body: a repetition has the same. */
  digest: string;
  /** It is signed with each scheme of its endpoint, by a key that the receiver knows. */
  verified: boolean;
  /** It was answered with 200. */
  accepted: boolean;
}
