export interface Outgoing {
  url: string;
  headers: Record<string, string>;
  body: string;
  /** For the receiver: from the moment that the request is on its connection to the end of the answer's head. */
  timeoutMs?: number;
}

export type FailureReason =
  /** The URL itself leads nowhere that deliveries go. */
  | 'address_refused'
  /** The request cannot be sent as it is: its headers. */
  | 'request_invalid'
  /** Its name does not exist, or leads nowhere that deliveries go: which of the two, tenants do not learn. */
  | 'dns_failed'
  | 'connect_timeout'
  | 'connect_failed'
  | 'tls_failed'
  | 'response_timeout'
  | 'reset'
  | 'response_invalid';

export type Outcome =
  | {
      kind: 'response';
      status: number;
      retryAfterSeconds: number | null;
      /** Its first KiB, as text that PostgreSQL takes. */
      body: string;
      latencyMs: number;
    }
  | {
      kind: 'failed';
      reason: FailureReason;
      /** For the tenant. */
      detail: string;
      /** For the operator's log alone: it tells what is inside the network. */
      withheld?: string;
      latencyMs: number;
    };

/** Why a request got no answer; inside the sender alone, which turns it into an Outcome. */
export class SendFailure extends Error {
  readonly reason: FailureReason;
  readonly withheld: string | undefined;

  constructor(reason: FailureReason, detail: string, cause?: unknown, withheld?: string) {
    super(detail, { cause });
    this.reason = reason;
    this.withheld = withheld;
  }
}
