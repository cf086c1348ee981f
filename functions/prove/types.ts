import type fc from 'fast-check';
import { RULE_FAMILIES } from './rules/families.ts';

export const TENANT_ROLES = ['viewer', 'member', 'admin', 'owner'] as const;
export type TenantRole = (typeof TENANT_ROLES)[number];
/** Who attacks: a member of tenant A with one of its roles, an operator, or somebody without a token. */
export const ROLES = [...TENANT_ROLES, 'operator', 'none'] as const;
export type Role = (typeof ROLES)[number];

export type Verb = 'select' | 'insert' | 'update' | 'delete' | 'call' | 'session' | 'rule';
/** The ways that an attack is tried, by verb. Every one of them is a column of the matrix. */
export const FAMILIES = {
  select: ['read', 'filter', 'order', 'embed', 'count', 'range', 'media', 'token', 'header'],
  insert: ['tenant', 'bulk', 'upsert', 'foreign key', 'unique', 'payload'],
  update: ['row', 'move', 'unique'],
  delete: ['row'],
  call: ['arguments', 'token'],
  session: ['unsealed', 'setting', 'sealed'],
  rule: RULE_FAMILIES,
} as const satisfies Record<Verb, readonly string[]>;
export type Family = (typeof FAMILIES)[Verb][number];
/** PostgREST itself, the edge, or a database session. */
export type Door = 'direct' | 'edge' | 'session';

export interface Call {
  door: Door;
  method: string;
  schema: string;
  /** From the schema on, encoded: `/files?id=eq.…`. */
  path: string;
  /** A name in the world's tokens such as `A_viewer`, or null for none. */
  token: string | null;
  headers?: Record<string, string>;
  body?: unknown;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Proof that a probe can hit: the same question, asked by someone with a right to the answer. */
export interface Control {
  /** Makes what the call needs; by somebody who may. */
  before?: Call;
  call: Call;
  /** One of these must be in the answer. Without: a status below 300 is proof. */
  shows?: readonly string[];
  /** Asked where the role is rightly refused: somebody who is not. */
  fallback?: Call;
  /** Takes back what the call made. */
  after?: Call[];
}

export interface ProbeName {
  relation: string;
  verb: Verb;
  role: string;
  family: Family;
  door: Door;
  title: string;
}

export interface Probe extends ProbeName {
  control?: Control;
  attack: Call;
  /** The same question about what nobody has: the answers must not differ. */
  twin?: Call;
  /** Takes back what the attack may rightfully have made of A's own. */
  after?: Call;
  /** Why the attack has to be refused, where any success would be a leak. */
  refused?: string;
  /** Success is no leak where no row was touched. */
  mayTouchNothing?: boolean;
  /** What only the directory says of a tenant is the operator's to see. */
  directoryAllowed?: boolean;
  /** Exposed relations whose victim rows must stay as they are. */
  watch?: readonly string[];
  /** Generated input: tried many times, and shrunk when it leaks. */
  generated?: { values: fc.Arbitrary<string>; attack: (value: string) => Call; runs: number; judge?: Judge };
  /** Sessions do their own asking. */
  run?: () => Promise<Verdict>;
}

/** Looks at an answer to generated input; a sentence when it is wrong. */
export type Judge = (
  answer: Answer,
  value: string,
  ask: (call: Call) => Promise<Answer>,
) => Promise<string | undefined>;

export interface Verdict {
  outcome: 'held' | 'leak' | 'vacuous' | 'broken';
  requests: number;
  reason?: string;
  curl?: string;
}

export interface Finding {
  kind: 'leak' | 'uncovered' | 'vacuous' | 'broken' | 'unfillable' | 'mismatch';
  /** The probe, or what was looked at. */
  at: string;
  relation?: string;
  detail: string;
  curl?: string;
}

export interface Cell {
  relation: string;
  verb: Verb;
  role: string;
  family: Family;
  probes: number;
  leaks: number;
  failures: number;
  /** Why there is nothing to allow here, or nothing to attack. */
  note?: string;
  nothing?: boolean;
}

export interface ProveReport {
  seed: number;
  probes: number;
  requests: number;
  leaks: number;
  uncovered: number;
  findings: Finding[];
  cells: Cell[];
  relations: string[];
  functions: string[];
  /** Of all probes in order: the same for the same seed and schema. */
  digest: string;
  seconds: number;
}

export interface ProveTarget {
  /** The migrator's URL. */
  database: string;
  postgrest: string;
  edge?: string;
  /** URLs of logins whose direct sessions are attacked too. */
  sessions?: readonly string[];
  allowAnyDatabase?: boolean;
}

export interface ProveOptions {
  seed?: number;
  only?: {
    relations?: readonly string[];
    families?: readonly Family[];
    verbs?: readonly Verb[];
    roles?: readonly string[];
  };
  stopAtFirstLeak?: boolean;
  /** One door, fewer roles and operators: for many runs, such as one for each mutant. */
  quick?: boolean;
  onProgress?: (message: string) => void;
  signal?: AbortSignal;
}
