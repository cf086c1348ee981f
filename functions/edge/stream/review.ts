import { RowhouseError } from '../../errors.ts';
import type { Reader, Verdict } from './reader.ts';
import type { Subscriber } from './subscriber.ts';
import { groupOf, type TenantStreams } from './tenants.ts';

export interface ReviewParts {
  reader: Pick<Reader, 'review'>;
  close(tenant: TenantStreams, subscriber: Subscriber, reason: RowhouseError): void;
  /** A stream that was let in again has to read by itself first. */
  onBehind(tenant: TenantStreams, subscriber: Subscriber): void;
}

const RANKS = ['viewer', 'member', 'admin', 'owner'];

/** Asks the database about a tenant's streams that are doubtful: closes those that it lets in no more, or as less than they were. */
export function createReview({ reader, close, onBehind }: ReviewParts): (tenant: TenantStreams) => Promise<void> {
  function judge(tenant: TenantStreams, subscriber: Subscriber, verdict: Verdict, changes: number): void {
    if ('refusal' in verdict) close(tenant, subscriber, verdict.refusal);
    else if (RANKS.indexOf(verdict.role) < RANKS.indexOf(subscriber.role)) {
      const detail = `The stream was opened as ${subscriber.role}; now it would be one of a ${verdict.role}.`;
      close(tenant, subscriber, new RowhouseError('role_insufficient', { detail, hint: 'Open it again.' }));
    } else {
      subscriber.admittedAt = changes;
      // What has changed meanwhile may have changed what it said.
      if (tenant.changes === changes) subscriber.doubtful = false;
      if (verdict.role === subscriber.role) return;
      groupOf(tenant, subscriber.role).live.delete(subscriber);
      subscriber.role = verdict.role;
      subscriber.behind = true;
    }
  }

  async function reviewOnce(tenant: TenantStreams): Promise<void> {
    const { changes } = tenant;
    const doubted = [...tenant.subscribers].filter(({ doubtful }) => doubtful);
    const tokens = [...new Set(doubted.map(({ caller }) => caller.token))];
    const verdicts = await reader.review(tokens);
    const byToken = new Map(tokens.map((token, nth) => [token, verdicts[nth]]));
    for (const subscriber of doubted) {
      const verdict = byToken.get(subscriber.caller.token);
      if (verdict && !subscriber.closed) judge(tenant, subscriber, verdict, changes);
    }
    tenant.reviewedAt = changes;
    // Others may have come meanwhile, of whom it was not asked.
    tenant.doubtful = tenant.subscribers.values().some(({ doubtful }) => doubtful);
    for (const subscriber of doubted) if (subscriber.behind) onBehind(tenant, subscriber);
  }

  return (tenant) => {
    tenant.reviewing ??= reviewOnce(tenant).finally(() => {
      tenant.reviewing = undefined;
    });
    return tenant.reviewing;
  };
}
