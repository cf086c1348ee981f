/** What travels through the queue, and what its handlers see and answer. */

export interface JobMessage {
  tenant_id: string;
  job_id: string;
  type: string;
  /** Which submission of the job this is: a job that failed can be submitted again. */
  submission: string;
  /** The trace of the request that submitted it; missing where it had none. */
  traceparent?: string;
  /** How many attempts were given back unfinished: by a worker that stopped, or because the tenant was suspended. */
  handed_back: number;
}

export interface PurgeMessage {
  tenant_id: string;
  file_id: string;
}

/** One attempt at a message, as a handler sees it. */
export interface Delivery<T> {
  message: T;
  /** Aborted when the claim is lost, the attempt expires, or the worker stops. */
  signal: AbortSignal;
  /** Settles this delivery and makes another of `message`, later, with the deliveries that are left. */
  postpone(seconds: number, message: T): Promise<void>;
}

/** `retry`: deliver again after a while, `dead`: put it among the dead letters. What a handler throws is a `retry`. */
export type Outcome = { settle: 'done' } | { settle: 'retry' | 'dead'; code: string };
export type Handler<T> = (delivery: Delivery<T>) => Promise<Outcome>;
export const DONE: Outcome = { settle: 'done' };

export interface DeadLetter {
  id: string;
  message: JobMessage;
}

export interface Submission {
  /** The same each time that its entry of the ledger is handed over. */
  id: string;
  message: JobMessage;
  tier: string | null;
}

export interface LaterSubmission extends Submission {
  /** As PostgreSQL writes it. */
  startAfter: string;
}

/** What of each job waits for its time from now on; undefined: nothing. By an id that is the job's, the same for each submission of it. */
export type LaterChanges = ReadonlyMap<string, LaterSubmission | undefined>;

export interface Purge {
  /** As of a submission. */
  id: string;
  message: PurgeMessage;
}
