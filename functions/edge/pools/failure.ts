/**
 * What became of a request that was not answered.
 * - `unsent`: there was no connection; nothing has happened.
 * - `broken`: the connection was lost; what was asked for may have happened.
 * - `late`: no answer within the time that one can take.
 * - `refused`: it cannot be put into HTTP.
 * - `unreadable`: its answer is not HTTP from some point on, or its head is too long. It would be so again, and others' are not.
 */
export type Failure = 'unsent' | 'broken' | 'late' | 'refused' | 'unreadable';

/** An upstream did not answer. Stays inside of pools/: clients are told by RowhouseError. */
export class UpstreamError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, cause: Error) {
    super(cause.message, { cause });
    this.failure = failure;
  }
}
