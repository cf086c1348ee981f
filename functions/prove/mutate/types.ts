import type { Span } from './tokens.ts';

/** What is weakened. Each is a file in classes/, but for those that a tokenizer makes: policies and bodies. */
export type ElementClass = string;

export const BODIES: ElementClass = 'function body';

/** One weakening of one wall element of the catalogue. */
export interface Mutant {
  class: ElementClass;
  /** What the catalogue calls it. */
  element: string;
  /** How it is weakened, in a few words. */
  how: string;
  sql: string;
  /** Takes it back exactly; null where it is never committed. */
  undo: string | null;
  /** Of the cluster, not of one database: applied by one worker at a time, in a transaction that is rolled back. */
  cluster: boolean;
}

/** A change that a generator did not make a mutant of, and why. */
export interface NotAMutant {
  class: ElementClass;
  element: string;
  how: string;
  reason: string;
}

/** A table or function that the reference schema does not have: what it asks of its rows and callers is nowhere else written. */
export const AUTHORS_OWN =
  'it says itself what its author wants, and nothing else does: neither doctor nor prove can know';

export interface Generated {
  mutants: Mutant[];
  excluded: NotAMutant[];
}

/** What noticed a mutant; undefined: nothing did. */
export type Death = { by: 'doctor' | 'prove'; what: string } | undefined;

export interface Judged {
  mutant: Mutant;
  death: Death;
  /** Why nothing could, where the mutant itself was at fault. */
  why?: string;
}

export interface MutationReport {
  seed: number;
  judged: Judged[];
  excluded: NotAMutant[];
  seconds: number;
}

/** One change of a body or condition; with a reason, one that weakens nothing. */
export interface Edit {
  how: string;
  span: Span;
  by: string;
  reason?: string | undefined;
}
