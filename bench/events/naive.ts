import { Webhook } from 'standardwebhooks';

/** What those who queue deliveries themselves put into their queue. */
export interface NaiveJob {
  url: string;
  secret: string;
  id: string;
  event: object;
}

/** A job as one would write it: signed, one fetch, retried by the queue. @throws whatever is not 2xx */
export async function deliver({ url, secret, id, event }: NaiveJob): Promise<void> {
  const body = JSON.stringify(event);
  const at = new Date();
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, body),
    },
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(15_000),
  });
  await response.text();
  if (!response.ok) throw new Error(`answered ${response.status}`);
}
