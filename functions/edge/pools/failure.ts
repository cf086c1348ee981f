/**
 * What became of a request that was not answered.
 * - `unsent`: there was no connection; nothing has happened.
 * - `broken`: the connection was lost; what was asked for may have happened.
 * - `late`: no answer within the time that one can take.
 * - `refused`: it cannot be put into HTTP.
 */
export type Failure = 'unsent' | 'broken' | 'late' | 'refused';

/** An upstream did not answer. Stays inside of pools/: clients are told by RowhouseError. */
export class UpstreamError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, cause: Error) {
    super(cause.message, { cause });
    this.failure = failure;
  }
}
